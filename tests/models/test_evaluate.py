"""What a search measures: AP as pycocotools has it, keypoints on the labels, statistics that are estimated again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.fixtures.packs import drawn_pack
from vipose.models.data.people import PackedPeople
from vipose.models.data.split import validation_rows
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.fused import FusedArch, FusedPoseNet
from vipose.models.search.evaluate import (
    Evaluator,
    Validation,
    average_precision,
    calibration_batches,
    fast_dtype,
    keypoints,
    recalibrate,
)
from vipose.runtime.codec import encode_gaussian
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import apply_affine, compose, heatmap_scale
from vipose.runtime.metrics.coco import keypoint_scores
from vipose.runtime.skeleton import COCO17

TINY = FusedArch(stem=8, widths=(8, 8, 16, 16), depths=(0, 0, 1, 0), head=16)
SIZE = (96, 128)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> PackedPeople:
    folder = tmp_path_factory.mktemp("packs")
    return PackedPeople([drawn_pack(folder / "coco"), drawn_pack(folder / "lspe", 90, "lspe", 1)])


def noisy(validation: Validation, sigma: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = validation.truth.astype(np.float64).copy()
    found[..., :2] += rng.normal(0, sigma, (*found.shape[:2], 2)) * rng.uniform(0, 2, (len(found), 1, 1))
    found[..., 2] = rng.uniform(0, 1, found.shape[:2])
    return found


def test_validation_people_are_those_held_out(people: PackedPeople) -> None:
    validation = Validation.of(people, SIZE)
    assert len(validation) == len(validation_rows(people)) == 4 + 3
    assert validation.size == SIZE and validation.crops.shape == (7, 128, 96, 3)
    assert sorted(set(validation.sources)) == ["coco", "lspe"]
    assert validation.areas.tolist() == [3000.0] * 7
    facts = validation.describe()
    assert facts["people"] == 7 and facts["by_source"] == {"coco": 4, "lspe": 3}
    others = Validation.of(people, SIZE, np.arange(5, 12))
    assert others.describe()["digest"] != facts["digest"] == Validation.of(people, SIZE).describe()["digest"]


def test_a_joint_lies_in_the_crop_where_its_affine_says(people: PackedPeople) -> None:
    validation = Validation.of(people, SIZE)
    for crop, affine, truth in zip(validation.crops.numpy(), validation.affines, validation.truth, strict=True):
        x, y = np.rint(apply_affine(affine, truth[:, :2])).astype(int).T
        assert (crop[y, x].mean(1) > 80).mean() > 0.9  # a dot may be covered by another, not by the noise


def test_packs_without_labels_are_refused(people: PackedPeople, tmp_path: Path) -> None:
    foreign = PackedPeople([drawn_pack(tmp_path / "sports", 5, "clip:sports")])
    with pytest.raises(InputError, match="nobody with labels by hand"):
        Validation.of(foreign, SIZE)
    assert len(Validation.of(foreign, SIZE, np.arange(5))) == 5


def test_perfect_predictions_have_an_ap_of_one(people: PackedPeople) -> None:
    validation = Validation.of(people, SIZE)
    accuracy = average_precision(validation.truth, validation)
    assert accuracy.ap == accuracy.oks == 1 and accuracy.by_source == {"coco": 1.0, "lspe": 1.0}
    far = validation.truth + [500, 0, 0]
    assert average_precision(far, validation).ap == 0


@pytest.mark.parametrize("sigma", [1.0, 3.0, 6.0])
def test_ap_is_what_pycocotools_computes(people: PackedPeople, sigma: float) -> None:
    validation = Validation.of(people, SIZE, np.arange(0, 130, 2))
    found = noisy(validation, sigma)
    truth = [
        {"id": n + 1, "image_id": n, "category_id": 1, "iscrowd": 0, "area": float(area), "bbox": [0, 0, 60, 120],
         "keypoints": joints.ravel().tolist(), "num_keypoints": 17}
        for n, (joints, area) in enumerate(zip(validation.truth, validation.areas, strict=True))
    ]  # fmt: skip
    sure = found[..., 2] > 0.2
    scores = np.where(sure, found[..., 2], 0).sum(1) / sure.sum(1)
    results = [
        {"image_id": n, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": float(score)}
        for n, (pose, score) in enumerate(zip(found, scores, strict=True))
    ]
    data = {"images": [{"id": n} for n in range(len(found))], "annotations": truth, "categories": [{"id": 1}]}
    expected = keypoint_scores(data, results, COCO17)["AP"]
    assert 0.02 < average_precision(found, validation).ap < 1
    assert average_precision(found, validation).ap == pytest.approx(expected, abs=1e-9)


def test_unsure_people_rank_behind_sure_ones(people: PackedPeople) -> None:
    validation = Validation.of(people, SIZE)
    found = validation.truth.copy()
    found[3, :, :2] += 400
    found[..., 2] = 0.9
    found[3, :, 2] = 0.3
    right = average_precision(found, validation).ap
    found[3, :, 2] = 1.0
    assert average_precision(found, validation).ap < right < 1


class Oracle(PoseNetwork):
    """Puts out Gaussians on the labels of a validation set, batch after batch, as heatmaps or as logits."""

    def __init__(self, validation: Validation, output: Any) -> None:
        super().__init__(replace(TINY, output=output))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        heatmap = (SIZE[0] // 4, SIZE[1] // 4)
        to_map = heatmap_scale(SIZE, heatmap, "udp")
        points = [apply_affine(compose(to_map, a), t[:, :2]) for a, t in zip(validation.affines, validation.truth, strict=True)]
        maps = torch.from_numpy(encode_gaussian(np.stack(points), heatmap, 1.0))
        self.maps, self.place = maps if output == "heatmaps" else maps.clamp(min=1e-9).log(), 0

    def fusion_site(self, stage: int) -> tuple[int, int]:
        return 1, 1

    def parts(self) -> list[tuple[str, torch.nn.Module]]:
        return []

    def forward(self, image: torch.Tensor, previous: torch.Tensor | None = None) -> torch.Tensor:
        assert image.shape[1:] == (3, 128, 96) and abs(float(image.mean())) < 3
        self.place += len(image)
        return self.maps[self.place - len(image) : self.place]


@pytest.mark.parametrize("output", ["heatmaps", "logits"])
def test_keypoints_are_decoded_into_the_stored_picture(people: PackedPeople, output: str) -> None:
    validation = Validation.of(people, SIZE)
    found = keypoints(Oracle(validation, output), validation, batch=3)
    assert np.abs(found[..., :2] - validation.truth[..., :2]).max() < 0.5
    assert found[..., 2].min() > 0.75
    assert average_precision(found, validation).ap == 1


def _network() -> FusedPoseNet:
    torch.manual_seed(0)
    return FusedPoseNet(TINY)


def _statistics(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.named_buffers() if "running" in k}


def test_recalibration_changes_statistics_alone_and_always_alike(people: PackedPeople) -> None:
    batches = calibration_batches(people, SIZE, count=3, batch=8)
    network = _network()
    weights = {k: v.clone() for k, v in network.named_parameters()}
    network.train()
    before = _statistics(network)
    recalibrate(network, batches)
    after = _statistics(network)
    assert not any(torch.equal(before[k], after[k]) for k in before if "running_mean" in k)
    assert all(torch.equal(v, weights[k]) for k, v in network.named_parameters())
    assert not network.training and {m.momentum for m in network.modules() if hasattr(m, "momentum")} == {0.1}
    recalibrate(network, batches)  # what was there before does not count
    assert all(torch.equal(v, after[k]) for k, v in _statistics(network).items())


def test_statistics_are_the_mean_over_batches(people: PackedPeople) -> None:
    from vipose.models.training.device import normalise

    batches = calibration_batches(people, SIZE, count=3, batch=8)
    network = _network()
    recalibrate(network, batches)
    first = network.stem[0]
    with torch.no_grad():
        means = [first(normalise(batch)).mean((0, 2, 3)) for batch in batches]
    assert torch.allclose(network.stem[1].running_mean, torch.stack(means).mean(0), atol=1e-5)


def test_calibration_crops_leave_the_held_out_alone_and_repeat(people: PackedPeople) -> None:
    one, same, other = (calibration_batches(people, SIZE, 4, 8, seed=seed) for seed in (0, 0, 1))
    assert [len(b) for b in one] == [8] * 4
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True)) and not torch.equal(one[0], other[0])
    every = calibration_batches(people, SIZE, 1000, 16)
    assert sum(map(len, every)) == len(people) - len(validation_rows(people))
    only = calibration_batches(people, SIZE, 1000, 16, by_source={"lspe": 0.0})
    assert sum(map(len, only)) == 40 - 4


def test_packs_too_small_to_calibrate_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of 1 people 0 are free"):
        calibration_batches(PackedPeople([drawn_pack(tmp_path / "one", 1)]), SIZE)


def test_an_evaluator_measures_sub_networks_and_leaves_the_super_network_alone(people: PackedPeople) -> None:
    torch.manual_seed(0)
    whole = SuperNetwork(replace(TINY, widths=(8, 16, 16, 24))).eval()
    state = {k: v.clone() for k, v in whole.state_dict().items()}
    evaluator = Evaluator(whole, Validation.of(people, SIZE), calibration_batches(people, SIZE, 2, 8), dtype=torch.float32)
    first, again = evaluator(TINY), evaluator(TINY)
    assert first == again and 0 <= first.ap <= 1 and 0 < first.oks < 1
    assert all(torch.equal(v, state[k]) for k, v in whole.state_dict().items())
    quick = replace(evaluator, dtype=torch.bfloat16)
    assert quick(TINY).oks == pytest.approx(first.oks, abs=0.05)
    assert evaluator.describe()["arithmetic"] == "cpu float32" and quick.describe()["arithmetic"] == "cpu bfloat16"
    assert replace(evaluator, dtype=None).arithmetic is fast_dtype(torch.device("cpu"))
    with pytest.raises(ValueError, match="cut"):
        evaluator(replace(TINY, widths=(64, 64, 64, 64)))
