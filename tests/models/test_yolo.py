"""The YOLO converter on small graphs with the output layouts of ultralytics' exports, and boxes computed by hand."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs the extra 'convert'")

from onnx import TensorProto, helper, numpy_helper

from vipose.models.convert.yolo import convert_yolo, main
from vipose.runtime.detect import Detector, DetectorConfig
from vipose.runtime.errors import ModelError, OutputError
from vipose.runtime.metadata import KEY, GraphMetadata
from vipose.runtime.onnxfile import read_onnx

SIDE = 64
COCO = {0: "person", 1: "bicycle", 2: "car"}


def export(
    path: Path,
    values: np.ndarray[Any, Any],
    *,
    reacts: tuple[int, int],
    names: dict[int, str] | None = None,
    task: str | None = None,
    batch: int | str = 1,
    size: int | str = SIDE,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    shape: list[int | str] | None = None,
    masks: bool = False,
    tensor: str = "pooled",
    extra: dict[str, str] | None = None,
) -> Path:
    """An "exported YOLO": puts out ``values`` [1, a, b], with the mean of the red channel added at index ``reacts``."""
    mask = np.zeros_like(values)
    mask[0][reacts] = 1
    wide = dtype == TensorProto.FLOAT
    real = np.float32 if wide else np.float16
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], [tensor]),
        helper.make_node("Gather", [tensor, "red"], ["red_mean"], axis=1),
        helper.make_node("Mul", ["red_mean", "mask"], ["added"]),
        helper.make_node("Add", ["added", "values"], ["output0"]),
    ]
    stored = [
        numpy_helper.from_array(np.array(0, np.int64), "red"),
        numpy_helper.from_array(mask.astype(real), "mask"),
        numpy_helper.from_array(values.astype(real), "values"),
    ]
    outputs = [helper.make_tensor_value_info("output0", dtype, shape or [batch, *values.shape[1:]])]
    if masks:
        nodes.append(helper.make_node("Identity", ["images"], ["output1"]))
        outputs.append(helper.make_tensor_value_info("output1", dtype, [batch, 3, size, size]))
    graph = helper.make_graph(
        nodes, "main", [helper.make_tensor_value_info("images", dtype, [batch, 3, size, size])], outputs, stored
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    facts = {"names": str(names)} if names else {}
    facts |= {"task": task, "stride": "32", "author": "Ultralytics"} if task else {}
    for key, value in (facts | (extra or {})).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
    return path


def raw(channels: int, boxes: int = 100) -> np.ndarray[Any, Any]:
    """[1, channels, boxes]: box 3 is centred at (20, 30), 8 wide and 16 high, person 0.3, the next class 0.9."""
    values = np.zeros((1, channels, boxes), np.float32)
    values[0, :4, 3] = 20, 30, 8, 16
    values[0, 4, 3] = 0.3
    if channels > 5:
        values[0, 5, 3] = 0.9
    return values


def final(columns: int = 6, boxes: int = 300) -> np.ndarray[Any, Any]:
    """[1, boxes, columns]: a person (16, 22, 24, 38) at 0.3 and a car at 0.8; the rest is padding."""
    values = np.zeros((1, boxes, columns), np.float32)
    values[0, 0, :6] = 1, 2, 60, 50, 0.8, 2
    values[0, 1, :6] = 16, 22, 24, 38, 0.3, 0
    return values


def red(n: int = 1, side: int = SIDE) -> np.ndarray[Any, Any]:
    """n pictures [n, side, side, 3] whose red is 51, 102, ... and whose blue is 255: a mean of 0.2, 0.4, ... in RGB."""
    image = np.zeros((n, side, side, 3), np.uint8)
    image[..., 0] = 51 * np.arange(1, n + 1)[:, None, None]
    image[..., 2] = 255
    return image


def outputs(path: Path, image: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    boxes, scores = session.run(["boxes", "scores"], {"image": image})
    return boxes, scores


@pytest.mark.parametrize("channels", [84, 5, 4 + 1 + 51], ids=["detect", "one class", "pose"])
def test_raw_layout(tmp_path: Path, channels: int) -> None:
    source = export(tmp_path / "yolo11n.onnx", raw(channels), reacts=(4, 3))
    metadata = convert_yolo(source, tmp_path / "out.onnx")
    boxes, scores = outputs(tmp_path / "out.onnx", red())
    assert boxes.shape == (1, 100, 4) and scores.shape == (1, 100)
    np.testing.assert_allclose(boxes[0, 3], [16, 22, 24, 38])
    np.testing.assert_allclose(scores[0, 3], 0.3 + 0.2, rtol=1e-5)  # red / 255: RGB, not BGR, and scaled once
    assert not scores[0, [0, 1, 2, 4]].any()
    assert metadata.output == "candidates" and metadata.network == "yolo11n"
    assert (metadata.input.width, metadata.input.height) == (SIDE, SIDE)
    assert (metadata.input.dtype, metadata.input.layout, metadata.input.colour) == ("uint8", "NHWC", "RGB")
    assert metadata.input.fill == 114 and "AGPL" in metadata.licence


@pytest.mark.parametrize("columns", [6, 57], ids=["detect", "pose"])
def test_final_layout_keeps_people_only(tmp_path: Path, columns: int) -> None:
    source = export(tmp_path / "yolo26n.onnx", final(columns), reacts=(1, 4))
    metadata = convert_yolo(source, tmp_path / "out.onnx")
    boxes, scores = outputs(tmp_path / "out.onnx", red())
    assert boxes.shape == (1, 300, 4)
    np.testing.assert_allclose(boxes[0, 1], [16, 22, 24, 38])
    np.testing.assert_allclose(scores[0, 1], 0.5, rtol=1e-5)
    assert scores[0, 0] == 0 and not scores[0, 2:].any()  # the car and the padding
    assert metadata.output == "suppressed"


@pytest.mark.parametrize("layout", ["raw", "final"])
def test_any_number_of_pictures_where_the_source_takes_it(tmp_path: Path, layout: str) -> None:
    values, reacts = (raw(84), (4, 3)) if layout == "raw" else (final(), (1, 4))
    source = export(tmp_path / "a.onnx", values, reacts=reacts, batch="batch")
    convert_yolo(source, tmp_path / "out.onnx")
    _, scores = outputs(tmp_path / "out.onnx", red(3))
    column = 3 if layout == "raw" else 1
    np.testing.assert_allclose(scores[:, column], [0.5, 0.7, 0.9], rtol=1e-5)


def test_fixed_batch_stays_one(tmp_path: Path) -> None:
    source = export(tmp_path / "a.onnx", raw(84), reacts=(4, 3))
    convert_yolo(source, tmp_path / "out.onnx")
    session = ort.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, SIDE, SIDE, 3]


def test_free_size(tmp_path: Path) -> None:
    source = export(
        tmp_path / "a.onnx", raw(84), reacts=(4, 3), batch="batch", size="height", shape=["batch", 84, "anchors"],
        names=dict(enumerate(["person", *(f"thing{i}" for i in range(79))])), task="detect",
        extra={"imgsz": "[320, 256]"},
    )  # fmt: skip
    metadata = convert_yolo(source, tmp_path / "out.onnx")
    assert (metadata.input.width, metadata.input.height) == (0, 0)
    assert metadata.input.multiple == 32 and metadata.input.pixels == 320 * 256
    assert convert_yolo(source, tmp_path / "out.onnx", pixels=9000).input.pixels == 9000
    boxes, _ = outputs(tmp_path / "out.onnx", np.zeros((2, 96, 160, 3), np.uint8))
    assert boxes.shape == (2, 100, 4)


def test_half_precision_export(tmp_path: Path) -> None:
    source = export(tmp_path / "a.onnx", raw(84), reacts=(4, 3), dtype=TensorProto.FLOAT16)
    convert_yolo(source, tmp_path / "out.onnx")
    boxes, scores = outputs(tmp_path / "out.onnx", red())
    assert boxes.dtype == scores.dtype == np.float32
    np.testing.assert_allclose(boxes[0, 3], [16, 22, 24, 38])
    np.testing.assert_allclose(scores[0, 3], 0.5, atol=1e-3)


def test_names_that_clash_with_the_new_ends(tmp_path: Path) -> None:
    for name in ("image", "boxes", "scores", "raw.rows"):
        source = export(tmp_path / "a.onnx", raw(84), reacts=(4, 3), tensor=name)
        convert_yolo(source, tmp_path / "out.onnx")
        np.testing.assert_allclose(outputs(tmp_path / "out.onnx", red())[1][0, 3], 0.5, rtol=1e-5)


def test_segmentation_gives_its_boxes(tmp_path: Path) -> None:
    source = export(tmp_path / "a.onnx", raw(4 + 3 + 32), reacts=(4, 3), names=COCO, task="segment", masks=True)
    assert convert_yolo(source, tmp_path / "out.onnx").output == "candidates"
    np.testing.assert_allclose(outputs(tmp_path / "out.onnx", red())[1][0, 3], 0.5, rtol=1e-5)


def test_the_class_called_person_counts(tmp_path: Path) -> None:
    source = export(tmp_path / "a.onnx", raw(6), reacts=(5, 3), names={0: "car", 1: "Person"}, task="detect")
    convert_yolo(source, tmp_path / "out.onnx")
    np.testing.assert_allclose(outputs(tmp_path / "out.onnx", red())[1][0, 3], 0.9 + 0.2, rtol=1e-5)
    convert_yolo(source, tmp_path / "out.onnx", person=0)
    np.testing.assert_allclose(outputs(tmp_path / "out.onnx", red())[1][0, 3], 0.3, rtol=1e-5)


def test_no_person_among_the_classes(tmp_path: Path) -> None:
    source = export(tmp_path / "a.onnx", raw(6), reacts=(5, 3), names={0: "car", 1: "cat"}, task="detect")
    with pytest.raises(ModelError, match=r"0 car, 1 cat.*--person"):
        convert_yolo(source, tmp_path / "out.onnx")
    with pytest.raises(ModelError, match="no class 2"):
        convert_yolo(source, tmp_path / "out.onnx", person=2)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((1, 8400, 84), np.float32), {}, r"no known YOLO layout: found output0 \[1, 8400, 84\]"),
        (np.zeros((1, 5, 57), np.float32), {}, r"ambiguous: found output0 \[1, 5, 57\]"),
        (raw(84), {"shape": ["batch", "rows", "columns"]}, r"\[batch, rows, columns\]"),
        (raw(7), {"names": {0: "person"}, "task": "detect"}, r"output0 \[1, 7, 100\]"),
        (raw(6), {"names": {0: "person"}, "task": "obb"}, "task 'obb'"),
    ],
    ids=["objectness", "ambiguous", "all free", "names disagree", "oriented boxes"],
)
def test_unknown_layouts_are_named(tmp_path: Path, values: Any, options: dict[str, Any], message: str) -> None:
    source = export(tmp_path / "a.onnx", values, reacts=(4, 3), **options)
    with pytest.raises(ModelError, match=message) as caught:
        convert_yolo(source, tmp_path / "out.onnx")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.onnx").exists()


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file"):
        convert_yolo(tmp_path / "none.onnx", tmp_path / "out.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"\x08\x99 not a graph")
    with pytest.raises(ModelError, match="not a readable ONNX graph"):
        convert_yolo(tmp_path / "noise.onnx", tmp_path / "out.onnx")
    old = export(tmp_path / "old.onnx", raw(84), reacts=(4, 3), opset=10)
    with pytest.raises(ModelError, match="opset 10"):
        convert_yolo(old, tmp_path / "out.onnx")
    new = export(tmp_path / "new.onnx", raw(84), reacts=(4, 3))
    convert_yolo(new, tmp_path / "out.onnx")
    with pytest.raises(ModelError, match="already"):
        convert_yolo(tmp_path / "out.onnx", tmp_path / "again.onnx")
    with pytest.raises(OutputError, match="cannot write"):
        convert_yolo(new, tmp_path / "missing" / "out.onnx")


def test_metadata_travel_with_the_graph(tmp_path: Path) -> None:
    source = export(
        tmp_path / "a.onnx", raw(7), reacts=(4, 3), names=COCO, task="detect", extra={"license": "My own licence"}
    )
    metadata = convert_yolo(source, tmp_path / "out.onnx", name="mine")
    stored = read_onnx(tmp_path / "out.onnx")
    assert GraphMetadata.from_json(stored.properties[KEY]) == metadata
    assert stored.properties["names"] == str(COCO)  # the author's notices stay
    assert (metadata.network, metadata.licence) == ("mine", "My own licence")


def test_the_runtime_takes_it(tmp_path: Path) -> None:
    source = export(tmp_path / "a.onnx", raw(84), reacts=(4, 3))
    convert_yolo(source, tmp_path / "out.onnx")
    found = Detector(tmp_path / "out.onnx", DetectorConfig(score=0.4))(red(1, 2 * SIDE)[0])
    assert found.shape == (1, 5)
    # Twice the input's size: pixel x of the input is (x + 0.5) * 2 - 0.5 of the picture.
    np.testing.assert_allclose(found[0], [32.5, 44.5, 48.5, 76.5, 0.5], rtol=1e-5)


def test_checkpoint_without_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "yolo11n.pt").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(ModelError, match=r"vipose\[yolo\].*AGPL"):
        convert_yolo(tmp_path / "yolo11n.pt", tmp_path / "out.onnx")


def test_checkpoint_goes_through_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Yolo:
        def __init__(self, path: str) -> None:
            self.path = Path(path)
            assert self.path.read_bytes() == b"weights"

        def export(self, **options: Any) -> str:
            assert options["format"] == "onnx"
            return str(export(self.path.with_suffix(".onnx"), raw(84), reacts=(4, 3)))

    module = types.ModuleType("ultralytics")
    module.YOLO = Yolo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ultralytics", module)
    (tmp_path / "yolo11n.pt").write_bytes(b"weights")
    assert convert_yolo(tmp_path / "yolo11n.pt", tmp_path / "out.onnx").network == "yolo11n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.onnx", "yolo11n.pt"]  # no export left beside the weights


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = export(tmp_path / "a.onnx", final(), reacts=(1, 4))
    assert main([str(source), str(tmp_path / "out.onnx")]) == 0
    assert "suppressed" in capsys.readouterr().out
    assert main([str(tmp_path / "none.onnx"), str(tmp_path / "x.onnx")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_needs_neither_torch_nor_ultralytics() -> None:
    code = "import sys, vipose.models.convert.yolo; sys.exit(bool({'torch', 'ultralytics'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
