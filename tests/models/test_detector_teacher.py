"""A detector as a teacher: its answers at every cell and size, the loss towards them, and a run that follows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper

from tests.models.test_detection_run import CONFIG
from tests.models.test_detector import TINY, picture
from vipose.models.data.detector_teacher import STRIDES, RTMDetTeacher
from vipose.models.data.pseudo import write_pictures
from vipose.models.export_detector import read_detector
from vipose.models.networks.detector import Detector
from vipose.models.training.assignment import LossConfig
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.detection import cells, main, train
from vipose.models.training.detector_distillation import Answers, distillation_loss
from vipose.runtime.errors import ModelError


def teacher_graph(path: Path, strides: tuple[int, ...] = STRIDES) -> Path:
    """A network of one picture of 320 x 320: the logit is the mean blue of a cell, the sides are 1, 2, 3 and 4 strides."""
    nodes, outputs, constants = [], [], []
    for stride in strides:
        weight = np.zeros((5, 3, 1, 1), np.float32)
        weight[0, 0] = 1
        bias = np.array([0, 1, 2, 3, 4], np.float32) * stride
        constants += [
            helper.make_tensor(f"w{stride}", TensorProto.FLOAT, weight.shape, weight.ravel()),
            helper.make_tensor(f"b{stride}", TensorProto.FLOAT, bias.shape, bias),
        ]
        nodes += [
            helper.make_node(
                "AveragePool", ["images"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            ),
            helper.make_node("Conv", [f"p{stride}", f"w{stride}", f"b{stride}"], [f"c{stride}"]),
            helper.make_node("Transpose", [f"c{stride}"], [f"o{stride}"], perm=[0, 2, 3, 1]),
        ]
        side = 320 // stride
        outputs.append(helper.make_tensor_value_info(f"o{stride}", TensorProto.FLOAT, [1, side, side, 5]))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 320, 320])
    graph = helper.make_graph(nodes, "teacher", [image], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> RTMDetTeacher:
    return RTMDetTeacher(teacher_graph(tmp_path_factory.mktemp("t") / "t.onnx"))


def test_it_answers_at_the_cells_of_any_size(teacher: RTMDetTeacher) -> None:
    images = np.zeros((2, 64, 96, 3), np.uint8)
    images[1, 32:, 64:, 2] = 255  # blue: the cell of stride 32 at the bottom right, those of 8 and 16 inside it
    boxes, scores = teacher.dense(images)
    centres, strides = cells((96, 64))
    assert boxes.shape == (2, len(centres), 4) and scores.shape == (2, len(centres))
    corner = centres.numpy() - (strides.numpy()[:, None] - 1) / 2
    wanted = np.concatenate(
        [corner - np.array([1, 2]) * strides.numpy()[:, None], corner + np.array([3, 4]) * strides.numpy()[:, None]], 1
    )
    np.testing.assert_allclose(boxes[0], wanted, atol=1e-4)
    inside = (corner >= [64, 32]).all(1)
    assert (scores[1][inside] > 0.9).all() and (scores[1][~inside] < 0.2).all() and (scores[0] < 0.2).all()
    found = teacher(images[1])
    assert len(found) and found[0, 4] > 0.9


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"for 96x64, not .*give RTMDet-nano"):
        RTMDetTeacher(teacher_graph(tmp_path / "two.onnx", (8, 16)))
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    for name in ("no.onnx", "none.onnx"):
        with pytest.raises(ModelError, match=r"cannot be run .*give RTMDet-nano as ONNX") as caught:
            RTMDetTeacher(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_the_loss_is_least_where_the_teacher_is_met() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.full((1, 400), 0.01)
    scores[0, :3] = torch.tensor([0.9, 0.6, 0.2])
    corner = torch.rand(1, 400, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 20], -1)
    answers = Answers(boxes, scores)
    same, parts = distillation_loss(boxes, torch.logit(scores), answers, LossConfig())
    assert float(same) < 1e-5 and parts["taught_box"] < 1e-6
    moved, off = distillation_loss(boxes + 4, torch.logit(scores), answers, LossConfig())
    assert off["taught_box"] > 0.1 and float(moved) == pytest.approx(2 * off["taught_box"], abs=1e-5)
    _, blind = distillation_loss(boxes, torch.full_like(scores, -5.0), answers, LossConfig())
    assert blind["taught_score"] > 0.3
    # Far more background does not make people count less.
    wider = Answers(boxes.repeat(1, 20, 1), torch.cat([scores, torch.full((1, 19 * 400), 0.01)], 1))
    _, again = distillation_loss(wider.boxes, torch.full_like(wider.scores, -5.0), wider, LossConfig())
    assert again["taught_score"] == pytest.approx(blind["taught_score"], rel=0.05)
    nobody, none = distillation_loss(boxes, torch.full_like(scores, -5.0), Answers(boxes, scores * 0), LossConfig())
    assert none["taught_box"] == 0 and float(nobody) < 0.01


def test_a_run_learns_from_a_teacher_and_keeps_its_pixels(tmp_path: Path, teacher: RTMDetTeacher) -> None:
    write_pictures(iter([picture(n, (20, 10, 50, 70)) for n in range(6)]), tmp_path / "data")
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "start.pt", average=Detector(TINY).state_dict())
    for name, given in (("with", teacher), ("without", None)):
        train(CONFIG, [tmp_path / "data"], [1.0], tmp_path / name, tmp_path / "start.pt", teacher=given)
    lines = {n: json.loads((tmp_path / n / "log.jsonl").read_text().splitlines()[-1]) for n in ("with", "without")}
    assert lines["with"]["taught_score"] > 0 and "taught_score" not in lines["without"]
    one, other = (read_detector(tmp_path / name / "detector.pt") for name in lines)
    assert one[1] == CONFIG.pixels == 6144
    assert any(not torch.equal(v, other[0].state_dict()[k]) for k, v in one[0].state_dict().items())
    config = replace(CONFIG, distillation=0.0)
    train(config, [tmp_path / "data"], [1.0], tmp_path / "none", tmp_path / "start.pt", teacher=teacher)
    unweighted, _ = read_detector(tmp_path / "none" / "detector.pt")
    assert all(torch.equal(v, other[0].state_dict()[k]) for k, v in unweighted.state_dict().items())


def test_a_missing_teacher_is_one_line(tmp_path: Path) -> None:
    write_pictures(iter([picture(0, (20, 10, 50, 70))]), tmp_path / "data")
    with pytest.raises(ModelError, match=r"the teacher '.*none.onnx' cannot be run"):
        main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), "--teacher", str(tmp_path / "none.onnx")])
