"""The metadata that graphs carry: round trips and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipose.runtime.errors import ModelError
from vipose.runtime.metadata import Codec, GraphMetadata, InputSpec, weights_sha256
from vipose.runtime.skeleton import COCO17

SPATIAL = GraphMetadata(
    "pose-spatial", "s", InputSpec(192, 256, mean=(1.0, 2.0, 3.0)), {"depth": [1, 2]}, "coco17", Codec(), COCO17.flip
)
TEMPORAL = replace(SPATIAL, task="pose-temporal", T=3, phase=2, card={"data": ["a"], "AP": 0.5})
DETECTOR = GraphMetadata("detect", "d", InputSpec(320, 320), output="candidates")


@pytest.mark.parametrize("metadata", [SPATIAL, TEMPORAL, DETECTOR], ids=lambda m: m.task)
def test_round_trip(metadata: GraphMetadata) -> None:
    assert GraphMetadata.from_json(metadata.to_json()) == metadata


@given(
    st.sampled_from(["udp", "msra"]), st.floats(0.5, 4), st.sampled_from([4, 8]), st.integers(1, 4), st.text(max_size=20),
)  # fmt: skip
def test_any_metadata_round_trips(convention: Any, sigma: float, stride: int, phase: int, note: str) -> None:
    metadata = replace(
        TEMPORAL, codec=Codec(convention, sigma, stride), T=4, phase=phase, network=note, card={"note": note}
    )
    assert GraphMetadata.from_json(metadata.to_json()) == metadata


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema": 99}, "schema 99"),
        ({"task": "segment"}, "unknown task"),
        ({"skeleton": "dog"}, "unknown skeleton"),
        ({"skeleton": None}, "unknown skeleton"),
        ({"codec": None}, "needs a codec"),
        ({"input": {"width": 0, "height": 0}}, "fixed input size"),
        ({"task": "pose-temporal", "T": 2, "phase": 3}, "phase 3 of T = 2"),
        ({"task": "detect"}, "cannot put out"),
        ({"colour": "green"}, "unknown fields"),
        ({"input": {"size": 3}}, "cannot be read"),
        ({"input": None}, "cannot be read"),
    ],
)
def test_wrong_metadata_is_refused_with_one_line(changes: dict[str, Any], why: str) -> None:
    text = json.dumps({**json.loads(SPATIAL.to_json()), **changes})
    with pytest.raises(ModelError, match=why) as caught:
        GraphMetadata.from_json(text)
    assert "\n" not in str(caught.value)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_a_model_error(text: str) -> None:
    with pytest.raises(ModelError):
        GraphMetadata.from_json(text)


def test_skeleton_of_a_graph() -> None:
    assert SPATIAL.joints is COCO17
    with pytest.raises(ModelError, match="detector"):
        _ = DETECTOR.joints


def test_nan_never_reaches_json() -> None:
    with pytest.raises(ValueError):
        replace(SPATIAL, card={"AP": float("nan")}).to_json()


def test_weights_hash_depends_on_names_and_bytes_not_on_order() -> None:
    one = weights_sha256({"a": b"1", "b": b"2"})
    assert one == weights_sha256({"b": b"2", "a": b"1"}) and len(one) == 64
    assert one != weights_sha256({"a": b"1", "b": b"3"}) and one != weights_sha256({"a": b"1", "c": b"2"})
