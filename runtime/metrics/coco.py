"""COCO AP and AR through pycocotools, with what it prints caught and its traps avoided.

Keypoints: OKS thresholds 0.50:0.05:0.95, 20 people a picture. Boxes: the same IoU thresholds, 100 boxes a picture.
pycocotools itself decides about crowds and people without a labelled joint: they are ignored, neither found nor missed.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from vipose.runtime.skeleton import Skeleton

__all__ = ["BOX_SCORES", "KEYPOINT_SCORES", "Scores", "box_scores", "keypoint_scores"]

Scores = dict[str, float | None]
"""Name -> value in 0..1; None where no labelled person falls into the row (pycocotools says -1)."""

KEYPOINT_SCORES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
BOX_SCORES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR", "ARs", "ARm", "ARl")
"""Rows in the order of pycocotools' ``stats``. ``AR`` of boxes is the recall with up to 100 boxes a picture."""


def keypoint_scores(
    data: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    skeleton: Skeleton,
    *,
    image_ids: Collection[int] | None = None,
) -> Scores:
    """AP and AR by object keypoint similarity.

    Args:
        data: COCO keypoint annotations: ``images``, ``annotations`` (with ``area``), ``categories``.
        results: COCO keypoint results: image_id, category_id, keypoints (3 K numbers), score.
        skeleton: gives the OKS constants.
        image_ids: pictures to score; None for all.

    Returns:
        The rows of :data:`KEYPOINT_SCORES`.
    """

    def prepare(evaluation: Any) -> None:
        evaluation.params.kpt_oks_sigmas = np.asarray(skeleton.sigmas, np.float64)

    return _evaluate(data, results, "keypoints", KEYPOINT_SCORES, image_ids, prepare)


def box_scores(
    data: Mapping[str, Any], results: Sequence[Mapping[str, Any]], *, image_ids: Collection[int] | None = None
) -> Scores:
    """AP and AR of boxes by intersection over union.

    Args:
        data: COCO annotations; every box that is no crowd counts, also those of people without a labelled joint.
        results: COCO box results: image_id, category_id, bbox (x, y, w, h), score.
        image_ids: pictures to score; None for all.

    Returns:
        The rows of :data:`BOX_SCORES`.
    """
    return _evaluate(data, results, "bbox", BOX_SCORES, image_ids, lambda evaluation: None)


def _evaluate(
    data: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kind: str,
    names: Sequence[str],
    image_ids: Collection[int] | None,
    prepare: Callable[[Any], None],
) -> Scores:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    wanted = sorted({image["id"] for image in data["images"]} if image_ids is None else set(image_ids))
    inside = set(wanted)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _renumbered(data, inside)
        truth.createIndex()
        found = [dict(row) for row in results if row["image_id"] in inside]
        if found:
            detections = truth.loadRes(found)
        else:  # loadRes looks at the first result and fails without one
            detections = COCO()
            detections.dataset = {**truth.dataset, "annotations": []}
            detections.createIndex()
        evaluation = COCOeval(truth, detections, kind)
        evaluation.params.imgIds = wanted
        prepare(evaluation)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: None if value < 0 else float(value) for name, value in zip(names, evaluation.stats, strict=True)}


def _renumbered(data: Mapping[str, Any], image_ids: Collection[int]) -> dict[str, Any]:
    """A copy for pycocotools: it writes into annotations, and takes a match with annotation id 0 for no match."""
    annotations = [copy.copy(row) for row in data["annotations"] if row["image_id"] in image_ids]
    for number, row in enumerate(annotations, start=1):
        row["id"] = number
    images = [dict(image) for image in data["images"] if image["id"] in image_ids]
    return {"images": images, "annotations": annotations, "categories": list(data["categories"])}
