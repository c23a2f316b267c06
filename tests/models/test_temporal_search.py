"""The joint temporal search and its ablations on a tiny space: budgets of the sum, any T, seeds, resume, export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.models.test_people import Teacher, crop_set
from tests.models.test_temporal_training import FOUND, TINY_SPACE, _build, graphs_of
from vipose.models.data.clips import cut_tracks, write_clip_pack
from vipose.models.data.people import PackedPeople
from vipose.models.data.sequences import Clips
from vipose.models.networks.architecture import Architecture, Fusion
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.registry import architecture_from_json, build
from vipose.models.search import temporal
from vipose.models.search.explore import Evolution, evolutionary_search
from vipose.models.search.prices import Prices
from vipose.models.search.propagated import PropagationEvaluator
from vipose.models.search.sequences import Sequences, clip_windows, drifting_stills
from vipose.models.search.spaces import SPACES
from vipose.models.search.temporal_result import chosen_architectures, load_temporal_result
from vipose.models.training.checkpoint import save_checkpoint
from vipose.models.training.temporal import load_networks
from vipose.models.training.temporal_supernet import supernet_of
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError

SIZE = (64, 96)


def clip_pack(folder: Path, frames: int = 48) -> Path:
    """A square with a bright spot walks to the right; joints lie where the teacher says, the box follows smoothly."""
    images = []
    for t in range(frames):
        image = np.random.default_rng(t).integers(20, 60, (160, 420, 3)).astype(np.uint8)
        cv2.rectangle(image, (40 + 4 * t, 40), (80 + 4 * t, 120), (200, 220, 240), -1)
        images.append(image)
    seen = iter(range(frames))

    def detect(_: np.ndarray) -> np.ndarray:
        t = next(seen)
        return np.array([[40 + 4 * t, 40, 80 + 4 * t, 120, 0.9]])

    joints = np.column_stack([np.linspace(40, 70, 17), np.linspace(40, 90, 17)])
    write_clip_pack(cut_tracks(images, detect, "clip:square"), folder / "val", Teacher(joints, np.array([30, 20, 90, 140])))  # type: ignore[arg-type]
    return folder / "val"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip pack and a temporal super-network with random weights."""
    folder = tmp_path_factory.mktemp("temporal")
    clip_pack(folder)
    torch.manual_seed(0)
    key = build(_build(FOUND)).eval()
    whole = supernet_of(key)
    save_checkpoint(
        folder / "super.pt", state_dict=whole.state_dict(), space="tiny", found=FOUND, arch=key.arch.to_json(), T=2,
        spatial={"arch": key.arch.to_json(), "state_dict": key.state_dict()}, recipe={"sizes": [SIZE], "T": 2},
    )  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def tiny_space(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(SPACES, "tiny", TINY_SPACE)


def run_search(workshop: Path, out: Path, budget: str, *more: str) -> int:
    given = ["--supernet", str(workshop / "super.pt"), "--clips", str(workshop / "val"), "--budget", budget]
    return vipose(["search", "temporal", *given, "--sequences", "4", "--calibration", "3", "-o", str(out), *more])


def total_macs(archs: Sequence[Architecture]) -> int:
    return Prices(TINY_SPACE.size)(archs).macs


class Ideal(PoseNetwork):
    """Puts out what it is given, or a fixed map: shows what arrives."""

    def __init__(self, arch: Architecture, maps: torch.Tensor | None = None) -> None:
        super().__init__(replace(arch, output="heatmaps"))
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.maps = maps

    def fusion_site(self, stage: int) -> tuple[int, int]:
        return 1, 1

    def parts(self) -> list[tuple[str, torch.nn.Module]]:
        return []

    def forward(self, image: torch.Tensor, previous: torch.Tensor | None = None) -> torch.Tensor:
        maps = self.maps if previous is None else previous
        assert maps is not None
        return maps[: len(image)].expand(len(image), *maps.shape[1:]) * self.scale


def test_windows_of_clips_have_labels_that_lie_on_the_crops(workshop: Path) -> None:
    clips = Clips([workshop / "val"])
    windows = clip_windows(clips, 4, 100, SIZE)
    assert len(windows) == 12 and windows.frames == 4 and windows.size == SIZE and windows.counted.all()
    kept, aside = clip_windows(clips, 4, 100, SIZE, leave=4), clip_windows(clips, 4, 100, SIZE, only=4)
    assert len(kept) == 9 and len(aside) == 3
    assert not {i.tobytes() for i in kept.images[:, 0]} & {i.tobytes() for i in aside.images[:, 0]}
    assert len({windows.digest, kept.digest, aside.digest}) == 3
    assert len(clip_windows(clips, 4, 5, SIZE)) == 5
    with pytest.raises(InputError, match="no track"):
        clip_windows(clips, 40, 5, SIZE, stride=3)


def test_perfect_heatmaps_that_are_carried_score_perfectly_and_unwarped_ones_do_not(tmp_path: Path) -> None:
    from vipose.models.data.pack import read_crops, write_pack
    from vipose.runtime.codec import encode_gaussian
    from vipose.runtime.geometry import apply_affine, compose, heatmap_scale

    joints = np.stack([np.linspace(40, 80, 17), np.linspace(30, 130, 17)], 1)
    box = crop_set(tmp_path, labelled=True)
    write_pack(read_crops(tmp_path), tmp_path / "pack", Teacher(joints, box))  # type: ignore[arg-type]
    people = PackedPeople([tmp_path / "pack"])
    sequences = drifting_stills(people, [0], 4, SIZE, seed=3)
    assert sequences.digest == drifting_stills(people, [0], 4, SIZE, seed=3).digest
    drift = np.abs(sequences.warps - np.eye(2, 3)).max()
    assert drift > 0.01
    to_map = compose(heatmap_scale(SIZE, (16, 24), "udp"), sequences.affines[0, 0])
    maps = torch.from_numpy(encode_gaussian(apply_affine(to_map, joints), (16, 24), 1.0))[None]
    spatial, carrying = _build(FOUND), replace(_build(FOUND), fusion=Fusion(1, "add"))
    measure = PropagationEvaluator(
        Ideal(spatial, maps), sequences, sequences + sequences, lambda arch: Ideal(arch)
    )
    assert measure.key_accuracy.oks > 0.97
    warped, unwarped = measure([carrying] * 3), measure([carrying] * 3, "unwarped")
    assert warped.oks > 0.93 and warped.oks > unwarped.oks + 0.01
    with pytest.raises(InputError, match="T = 4 needs sequences of 5 frames"):
        measure([carrying] * 4)


@pytest.mark.parametrize("T", [2, 3, 4])
def test_the_search_keeps_the_total_budget_for_any_number_of_frames(workshop: Path, tmp_path: Path, T: int) -> None:
    smallest = total_macs([replace(_build({**FOUND, **{n: TINY_SPACE.smallest[n] for n in FOUND}}), fusion=Fusion(4, "add"))] * T)
    biggest = total_macs([replace(_build(FOUND), fusion=Fusion(1, "cat"))] * T)
    budget = (smallest + biggest) // 2
    out = tmp_path / "t.json"
    assert run_search(workshop, out, str(budget), "--frames", str(T), "--samples", "3", "--extract", str(tmp_path / "t.pt")) == 0
    result = load_temporal_result(out)
    assert len(result.candidates) == 3 and result.T == T
    for candidate in result.candidates:
        archs = chosen_architectures(result, candidate)
        assert len(archs) == T and candidate.macs == total_macs(archs) <= budget
        assert candidate.ap == pytest.approx(np.mean(list(candidate.by_source.values())))
    chosen = json.loads(out.read_text())["chosen"]["architectures"]
    networks = load_networks(tmp_path / "t.pt")
    assert [network.arch for network in networks] == [architecture_from_json(a) for a in chosen]
    assert vipose(["export", str(tmp_path / "t.pt"), "-o", str(tmp_path / "graphs")]) == 0
    assert (tmp_path / "graphs" / f"t-vipnas-{T}.onnx").exists()


@pytest.mark.parametrize("method", ["random", "evolution"])
def test_a_search_is_the_same_whether_interrupted_or_not(
    workshop: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Evolution(population=2, parents=2)
    monkeypatch.setattr(temporal, "evolutionary_search", partial(evolutionary_search, plan=small))
    options = ("--method", method, "--seed", "5", "--frames", "2")
    assert run_search(workshop, tmp_path / "whole.json", "1G", *options, "--samples", "4") == 0
    assert run_search(workshop, tmp_path / "parts.json", "1G", *options, "--samples", "2") == 0
    first = (tmp_path / "parts.json").read_text()
    assert run_search(workshop, tmp_path / "parts.json", "1G", *options, "--samples", "4") == 0
    whole, parts = (load_temporal_result(tmp_path / f"{name}.json") for name in ("whole", "parts"))
    assert whole.candidates == parts.candidates and len({c.hash for c in whole.candidates}) == 4
    assert [c["hash"] for c in json.loads(first)["candidates"]] == [c.hash for c in whole.candidates[:2]]


def test_what_cannot_be_searched_is_one_clear_line(
    workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.json"
    assert run_search(workshop, out, "1K") == 3
    assert run_search(workshop, out, "3ms") == 2
    assert run_search(workshop, out, "1G", "--frames", "5") == 2
    assert run_search(workshop, out, "1G", "--samples", "1", "--frames", "2") == 0
    assert run_search(workshop, out, "1G", "--samples", "1", "--frames", "3") == 3
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    assert vipose(["search", "temporal", "--supernet", str(tmp_path / "other.pt"), "--clips", str(workshop / "val"), "--budget", "1G", "-o", str(out)]) == 3
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("vipose")]
    assert len(lines) == 5
    assert "the cheapest found costs" in lines[0] and "M MACs" in lines[0]
    assert "--table" in lines[1] and "--frames 5" in lines[2] and "another T" in lines[3] and "t-supernet" in lines[4]


def test_shared_networks_are_the_same_on_all_frames(workshop: Path, tmp_path: Path) -> None:
    assert run_search(workshop, tmp_path / "s.json", "1G", "--shared", "--samples", "2") == 0
    for candidate in load_temporal_result(tmp_path / "s.json").candidates:
        archs = chosen_architectures(load_temporal_result(tmp_path / "s.json"), candidate)
        assert len(archs) == 3 and len(set(archs)) == 1


def test_ablations_run_end_to_end(workshop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ablations.json"
    given = ["--supernet", str(workshop / "super.pt"), "--clips", str(workshop / "val"), "--budget", "150M"]
    small = ["--samples", "2", "--sequences", "3", "--calibration", "2"]
    assert vipose(["search", "ablations", "all", *given, *small, "-o", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(r["ablation"], r["variant"]) for r in rows] == [
        ("fusion", "on"), ("fusion", "off"), ("warp", "warped"), ("warp", "unwarped"), ("sharing", "frame-specific"),
        ("sharing", "shared"), ("T", "2"), ("T", "3"), ("T", "4"),
    ]  # fmt: skip
    assert rows[0]["frames"] == rows[2]["frames"] == rows[4]["frames"] == rows[7]["frames"]
    key = Prices(TINY_SPACE.size)([_build(FOUND)]).macs
    for row in rows:
        archs = [architecture_from_json(a) for a in row["architectures"]]
        assert row["macs"] == total_macs(archs) and len(row["frames"]) == len(archs)
        assert row["mean_macs"] == pytest.approx((key + row["macs"]) / (len(archs) + 1))
        assert row["mean_macs"] <= (key + 150e6) / 4 + 1
    shown = capsys.readouterr().out
    assert "ablation" in shown and "frame 4" in shown and "'cost' was left out" in shown
    assert vipose(["search", "ablations", "cost", *given, *small, "-o", str(out)]) == 2


def test_the_cost_ablation_compares_at_equal_macs(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vipose.models.search import ablations

    class Table:
        size = TINY_SPACE.size

        def missing(self, arch: Architecture) -> list[str]:
            return []

        def predict(self, arch: Architecture) -> float:
            return 1.0 + total_macs([arch]) / 1e9

    (tmp_path / "table.json").write_text("{}")
    monkeypatch.setattr(temporal.LatencyTable, "load", lambda path: Table())
    out = tmp_path / "a.json"
    given = ["--supernet", str(workshop / "super.pt"), "--clips", str(workshop / "val"), "--budget", "3.2ms"]
    small = ["--table", str(tmp_path / "table.json"), "--samples", "2", "--sequences", "3", "--calibration", "2"]
    assert vipose(["search", "ablations", "cost", *given, *small, "-o", str(out)]) == 0
    timed, counted = json.loads(out.read_text())["rows"]
    assert timed["ms"] <= 3.2 and counted["macs"] <= timed["macs"]
    assert (timed["variant"], counted["variant"]) == ("ms", "MACs")
    assert ablations.KIND == json.loads(out.read_text())["kind"]


def test_fusion_off_takes_the_spatial_super_network_where_there_is_one(workshop: Path) -> None:
    from vipose.models.networks.elastic import SuperNetwork
    from vipose.models.search.ablations import Bench, fusion
    from vipose.models.search.result import Budget
    from vipose.models.search.temporal import JointSearch, SequenceSource
    from vipose.models.search.temporal_checkpoints import read_temporal_supernet

    trained = read_temporal_supernet(workshop / "super.pt")
    validation, calibration = SequenceSource(clips=(workshop / "val",), count=3, calibration=2).sequences(5, SIZE)
    assert isinstance(validation, Sequences)
    measure = PropagationEvaluator(trained.spatial, validation, calibration, trained.network.extract)
    spatial = SuperNetwork(TINY_SPACE.architecture(TINY_SPACE.biggest)).eval()
    bench = Bench(
        trained, measure, Prices(TINY_SPACE.size), JointSearch(Budget(1e9, "MACs"), samples=1), workshop / "b.json", spatial=spatial
    )
    on, off = fusion(bench)
    assert all(arch["fusion"] for arch in on.architectures) and not any(arch["fusion"] for arch in off.architectures)
    assert off.macs < on.macs and "spatial super-network" in off.note


def test_exported_graphs_of_found_networks_differ_by_frame(workshop: Path, tmp_path: Path) -> None:
    made = ((16, Fusion(2, "cat")), (8, Fusion(4, "mul")))
    networks = torch.nn.ModuleList([build(replace(_build({**FOUND, "stage4.width": w}), fusion=f)) for w, f in made])
    state = {"archs": [n.arch.to_json() for n in networks], "state_dict": networks.state_dict()}
    torch.save({**state, "recipe": {"sizes": [[96, 128]], "T": 2}}, tmp_path / "found.pt")
    assert vipose(["export", str(tmp_path / "found.pt"), "-o", str(tmp_path / "graphs")]) == 0
    assert not np.allclose(*graphs_of(tmp_path / "graphs", 2))
