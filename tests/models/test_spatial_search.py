"""``vipose search spatial`` from the command line: results, resuming, budgets in MACs and ms, extraction, mistakes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.fixtures.packs import drawn_pack
from vipose.models.networks.architecture import architecture_hash
from vipose.models.networks.elastic import SuperNetwork
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import architecture_from_json
from vipose.models.search import evaluate
from vipose.models.search.checkpoints import load_supernet, read_supernet
from vipose.models.search.cost import cost
from vipose.models.search.latency import LatencyTable
from vipose.models.search.parts import trace
from vipose.models.search.result import (
    Budget,
    Candidate,
    SearchResult,
    architecture,
    load_result,
    parse_budget,
    save_result,
)
from vipose.models.search.space import Dimension, Space
from vipose.models.search.spaces import SPACES
from vipose.runtime.cli import main as vipose
from vipose.runtime.errors import InputError, OutputError, UsageError


def _build(choice: Any) -> FusedArch:
    widths = tuple(int(choice[f"w{n}"]) for n in range(4))
    return FusedArch(stem=8, widths=widths, depths=(0, 0, int(choice["depth"]), 0), head=int(choice["head"]))  # type: ignore[arg-type]


TINY = Space(
    "tiny",
    (
        *(Dimension(f"w{n}", (8, 16)) for n in range(4)),
        Dimension("depth", (0, 1, 2)),
        Dimension("head", (16, 24)),
    ),
    _build,
    size=(64, 64),
)
CANDIDATE = Candidate({"w0": 8}, "abc", None, 10, 5, 0.5, 0.6, {"coco": 0.5})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a super-network of the tiny space and a pack."""
    folder = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    whole = SuperNetwork(TINY.architecture(TINY.biggest))
    recipe = {"sizes": ((64, 64),), "sigma": 2.0, "sources": {"coco": 1.0}, "augmentation": {"scale": (0.9, 1.1)}}
    torch.save(
        {"state_dict": whole.state_dict(), "space": "tiny", "arch": whole.biggest.to_json(), "recipe": recipe},
        folder / "super.pt",
    )
    drawn_pack(folder / "pack", 40)
    return folder


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES, "tiny", TINY)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hashes of the networks that are really measured, in order."""
    looked: list[str] = []
    real = evaluate.Evaluator.__call__

    def call(self: evaluate.Evaluator, arch: Any) -> evaluate.Accuracy:
        looked.append(architecture_hash(arch))
        return real(self, arch)

    monkeypatch.setattr(evaluate.Evaluator, "__call__", call)
    return looked


def command(inputs: Path, out: Path, *more: str, budget: str = "4M", samples: int = 8) -> list[str]:
    return [
        "search", "spatial", "--supernet", str(inputs / "super.pt"), "--pack", str(inputs / "pack"), "--budget", budget,
        "--samples", str(samples), "--at-least", "0", "--calibration", "1", "--device", "cpu", "--precision", "fp32",
        "--threads", "1", "-o", str(out), *more,
    ]  # fmt: skip


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("vipose: ")
    return lines[0]


def test_a_search_leaves_json_that_rebuilds_its_networks(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "result.json"
    assert vipose(command(inputs, out)) == 0
    result = load_result(out)
    assert len(result.candidates) == 8 == len({c.hash for c in result.candidates})
    for candidate in result.candidates:
        arch = architecture(result, candidate)
        spent = cost(arch, (64, 64))
        assert (candidate.macs, candidate.parameters) == (spent.macs, spent.parameters) and candidate.macs <= 4e6
        assert candidate.ms is None and 0 <= candidate.ap <= 1 and set(candidate.by_source) == {"coco"}
    assert result.chosen == max(result.candidates, key=lambda c: (c.rank, -c.macs))
    chosen = json.loads(out.read_text())["chosen"]
    assert architecture_from_json(chosen["architecture"]) == architecture(result)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[2].split()[-1] == chosen["hash"] and len(shown.out.splitlines()) == 2 + 5
    assert "8/8 best AP" in shown.err


@pytest.mark.parametrize("method", ["random", "evolution"])
def test_an_interrupted_search_equals_an_uninterrupted_one(
    inputs: Path, tmp_path: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch, method: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole, broken = tmp_path / "whole.json", tmp_path / "broken.json"
    assert vipose(command(inputs, whole, "--method", method, "-q")) == 0
    straight = counted.copy()
    counted.clear()
    real = evaluate.average_precision

    def interrupt(*given: Any) -> Any:
        if len(counted) in (3, 6):
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(evaluate, "average_precision", interrupt)
    assert vipose(command(inputs, broken, "--method", method, "-q")) == 130
    assert "holds 2 of 8; the same command goes on" in capsys.readouterr().err
    assert len(load_result(broken).candidates) == 2
    assert vipose(command(inputs, broken, "--method", method, "-q")) == 130
    monkeypatch.setattr(evaluate, "average_precision", real)
    assert vipose(command(inputs, broken, "--method", method, "-q")) == 0
    assert load_result(broken) == load_result(whole)
    # Only the two that were cut off were measured once more.
    assert len(counted) == len(straight) + 2 and list(dict.fromkeys(counted)) == straight
    counted.clear()
    assert vipose(command(inputs, broken, "--method", method, "-q")) == 0
    assert counted == [] and load_result(broken) == load_result(whole)


def test_more_samples_go_on_from_fewer(inputs: Path, tmp_path: Path, counted: list[str]) -> None:
    out = tmp_path / "result.json"
    assert vipose(command(inputs, out, "-q", samples=3)) == 0
    first = load_result(out).candidates
    assert vipose(command(inputs, out, "-q", samples=5)) == 0
    assert len(counted) == 5 and load_result(out).candidates[:3] == first


def pretended_table(path: Path, size: tuple[int, int] = (64, 96)) -> LatencyTable:
    """A table in which every part of the tiny space takes as many milliseconds as it has channels."""
    table = LatencyTable("tiny", size)
    for head in (16, 24):
        for widths in ((8, 8, 8, 8), (16, 16, 16, 16), (8, 16, 8, 16), (16, 8, 16, 8)):  # every pair of neighbours
            choice = {**{f"w{n}": width for n, width in enumerate(widths)}, "depth": 2, "head": head}
            for part in trace(_build(choice), size):
                table.parts[part.signature], table.names[part.signature] = part.output[1] / 100, part.name
    table.save(path)
    return table


def test_a_budget_in_ms_goes_by_the_table(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pretended_table(tmp_path / "table.json")
    smallest, biggest = (table.predict(TINY.architecture(c)) for c in (TINY.smallest, TINY.biggest))
    limit = (smallest + biggest) / 2
    out = tmp_path / "result.json"
    given = ("--table", str(tmp_path / "table.json"))
    assert vipose(command(inputs, out, *given, budget=f"{limit}ms", samples=4)) == 0
    result = load_result(out)
    assert result.budget == Budget(limit, "ms") and result.cost_size == (64, 96) and result.size == (64, 64)
    for candidate in result.candidates:
        arch = architecture(result, candidate)
        assert candidate.ms == table.predict(arch) <= limit and candidate.macs == cost(arch, (64, 96)).macs
    capsys.readouterr()
    assert vipose(command(inputs, tmp_path / "no.json", *given, budget="0.01ms")) == 3
    assert f"meets 0.01 ms: the cheapest found costs {smallest:.4g} ms" in error_line(capsys)
    assert vipose(command(inputs, tmp_path / "no.json", budget="3ms")) == 2
    assert "needs --table" in error_line(capsys)


def test_a_reference_is_measured_in_the_same_way(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside, outside = TINY.architecture(TINY.biggest), replace(TINY.architecture(TINY.biggest), stem=24)
    (tmp_path / "biggest.json").write_text(json.dumps(inside.to_json()))
    (tmp_path / "card.json").write_text(json.dumps({"architecture": outside.to_json()}))
    out = tmp_path / "result.json"
    assert vipose(command(inputs, out, "--compare", str(tmp_path / "biggest.json"), samples=2)) == 0
    result = load_result(out)
    assert result.reference is not None and result.reference[0] == "biggest"
    assert result.reference[1].hash == architecture_hash(inside) and result.reference[1].choice == TINY.biggest
    assert "biggest" in capsys.readouterr().out
    assert vipose(command(inputs, tmp_path / "other.json", "-q", "--compare", str(tmp_path / "card.json"), samples=1)) == 0
    assert "card is not compared" in error_line(capsys)
    # The chosen network of one result is the reference of another.
    assert vipose(command(inputs, tmp_path / "third.json", "-q", "--compare", str(out), samples=1)) == 0
    third, chosen = load_result(tmp_path / "third.json"), result.chosen
    assert third.reference is not None and chosen is not None
    assert third.reference == ("result", chosen)
    for text, why in (("nobody", "nor a network with a name"), (str(tmp_path / "no.json"), "cannot be read")):
        capsys.readouterr()
        assert vipose(command(inputs, tmp_path / "x.json", "--compare", text)) == 3
        assert why in error_line(capsys)


def test_the_chosen_network_is_extracted_at_once_or_later(inputs: Path, tmp_path: Path) -> None:
    out, now, later = tmp_path / "result.json", tmp_path / "now.pt", tmp_path / "sub" / "later.pt"
    assert vipose(command(inputs, out, "-q", "--extract", str(now), samples=3)) == 0
    again = ["search", "spatial", "--from", str(out), "--device", "cpu", "--precision", "fp32", "--extract", str(later)]
    assert vipose(again) == 0
    one, other = (torch.load(path, weights_only=True) for path in (now, later))
    assert all(torch.equal(v, other["state_dict"][k]) for k, v in one["state_dict"].items())
    assert architecture_from_json(one["arch"]) == architecture(load_result(out))
    assert one["recipe"]["sizes"] == [(64, 64)] and one["recipe"]["search"]["hash"] == architecture_hash(
        architecture(load_result(out))
    )
    assert vipose(["export", str(now), "-o", str(tmp_path / "graphs"), "--name", "found"]) == 0
    assert (tmp_path / "graphs" / "found.onnx").is_file()


def test_extraction_insists_on_the_same_network_and_people(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    assert vipose(command(inputs, out, "-q", samples=1)) == 0
    state = torch.load(inputs / "super.pt", weights_only=True)
    state["recipe"]["sigma"] = 3.0
    torch.save(state, tmp_path / "other.pt")
    drawn_pack(tmp_path / "pack", 40, seed=5)
    capsys.readouterr()
    start = ["search", "spatial", "--from", str(out), "--extract", str(tmp_path / "x.pt"), "--device", "cpu"]
    assert vipose([*start, "--supernet", str(tmp_path / "other.pt")]) == 3
    assert "the super-network is another one" in error_line(capsys)
    assert vipose([*start, "--pack", str(tmp_path / "pack")]) == 3
    assert "the packs are others" in error_line(capsys)
    assert vipose(["search", "spatial", "--from", str(out)]) == 2
    assert "--extract" in error_line(capsys)
    assert not (tmp_path / "x.pt").exists()


def test_a_result_of_another_search_is_not_overwritten(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    assert vipose(command(inputs, out, "-q", samples=1)) == 0
    before = out.read_text()
    for given, what in ((["--seed", "3"], "seed"), (["--method", "evolution"], "method"), (["--size", "96x96"], "size")):
        assert vipose(command(inputs, out, "-q", *given, samples=1)) == 3
        line = error_line(capsys)
        assert "another search" in line and what in line
    out.write_text(before[:200])
    assert vipose(command(inputs, out, "-q")) == 3
    assert "cut off" in error_line(capsys) and out.read_text() == before[:200]
    out.write_text('{"images": []}')
    assert vipose(command(inputs, out, "-q")) == 3
    assert "is no result of 'vipose search spatial'" in error_line(capsys)


def test_mistakes_are_one_clear_line(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    assert vipose(command(inputs, out, budget="soon")) == 2
    assert "budget 'soon' is not understood" in error_line(capsys)
    assert vipose(command(inputs, out, budget="1K")) == 3
    assert "the cheapest found costs" in error_line(capsys)
    assert vipose(command(inputs, tmp_path)) == 2
    assert "is a folder" in error_line(capsys)
    assert vipose(["search", "spatial", "--budget", "3M"]) == 2
    assert "--supernet, --pack, --out missing" in error_line(capsys)
    bad = tmp_path / "bad"
    bad.mkdir()
    shutil.copytree(inputs / "pack", bad / "pack")
    for content, why in (
        (None, "does not exist"),
        (b"torn", "torn or no checkpoint"),
        ({"state_dict": {}, "arch": {}, "recipe": {}}, "holds no super-network"),
    ):
        if isinstance(content, bytes):
            (bad / "super.pt").write_bytes(content)
        elif content is not None:
            torch.save(content, bad / "super.pt")
        assert vipose(command(bad, out)) == 3
        assert why in error_line(capsys)
    assert not out.exists()


def test_a_super_network_comes_back_as_it_was_saved(inputs: Path, tmp_path: Path) -> None:
    whole, space = load_supernet(inputs / "super.pt")
    assert space is TINY and not whole.training
    state = torch.load(inputs / "super.pt", weights_only=True)
    assert all(torch.equal(v, state["state_dict"][k]) for k, v in whole.state_dict().items())
    assert read_supernet(inputs / "super.pt").size == (64, 64)
    state["arch"] = {**state["arch"], "head": 96}
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(Exception, match="trained for another 'tiny'"):
        read_supernet(tmp_path / "other.pt")


def result_of(*candidates: Candidate) -> SearchResult:
    return SearchResult("tiny", (64, 64), (64, 64), Budget(4e6, "MACs"), 0.8, "random", 5, 0, "s.pt", "f00", candidates=candidates)


def test_the_best_is_chosen_by_ap_then_oks_then_cost() -> None:
    made = [
        replace(CANDIDATE, hash="a", ap=0.4, oks=0.9),
        replace(CANDIDATE, hash="b", macs=12),
        replace(CANDIDATE, hash="c", macs=11),
        replace(CANDIDATE, hash="d", oks=0.55),
    ]
    result = result_of(*made)
    assert [c.hash for c in result.best(4)] == ["c", "b", "d", "a"]
    assert result_of().chosen is None and result.found("b") == made[1] and result.found("z") is None
    with pytest.raises(InputError, match="no candidate yet"):
        architecture(result_of())


def test_results_survive_json_bit_for_bit_and_bad_ones_are_named(tmp_path: Path) -> None:
    choice = TINY.biggest
    good = replace(CANDIDATE, choice=choice, hash=architecture_hash(TINY.architecture(choice)), ap=1 / 3, ms=0.1 + 0.2)
    result = replace(result_of(good), reference=("s", good), packs=("p",))
    path = tmp_path / "r.json"
    save_result(path, result)
    assert load_result(path) == result and not list(tmp_path.glob("*.part"))
    data = json.loads(path.read_text())
    for change, why in (
        ({"candidates": [{"hash": "x"}]}, "malformed"),
        ({"budget": {"limit": 3, "unit": "years"}}, "malformed"),
        ({"size": 3}, "malformed"),
        ({"schema": 9}, "malformed"),
        ({"space": "nowhere"}, "no search space 'nowhere'"),
        ({"candidates": [{**data["candidates"][0], "choice": {"w0": 99}}]}, "outside of the space"),
        ({"candidates": [{**data["candidates"][0], "ap": "high"}]}, "malformed"),
    ):
        path.write_text(json.dumps({**data, **change}))
        with pytest.raises(InputError, match=why):
            load_result(path)
    stale = replace(good, hash="000000000000")
    with pytest.raises(InputError, match="another network in today's space"):
        architecture(result_of(stale))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        save_result(tmp_path / "file" / "r.json", result)
    with pytest.raises(OutputError, match="cannot write"):
        save_result(tmp_path, result)


@pytest.mark.parametrize(
    ("text", "budget"),
    [("4.2ms", Budget(4.2, "ms")), ("300M", Budget(3e8, "MACs")), ("1.2G", Budget(1.2e9, "MACs")), ("5e6", Budget(5e6, "MACs"))],
)
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert parse_budget(text).unit == budget.unit and parse_budget(text).limit == pytest.approx(budget.limit)


@pytest.mark.parametrize("text", ["", "ms", "-3M", "0ms", "3 s", "1.2.3M", "infms", "nan"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not understood"):
        parse_budget(text)
