"""``vipose search profile``: every part is measured once, an interruption loses nothing, and foreign tables are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from tests.fixtures.latency import FakeMeasurer, true_ms
from vipose.models.networks.architecture import Fusion
from vipose.models.networks.fused import FusedArch
from vipose.models.networks.registry import architecture_from_json
from vipose.models.search import profile
from vipose.models.search.latency import LatencyTable
from vipose.models.search.profile import ProfileConfig, Profiler
from vipose.models.search.space import Dimension, Space
from vipose.runtime.cli import main

SIZE = (64, 64)


def _build(choice: object) -> FusedArch:
    values: dict[str, int] = dict(choice)  # type: ignore[call-overload]
    widths = (values["width1"], 16, values["width3"], 16)
    return FusedArch(stem=8, widths=widths, depths=(0, 0, values["depth"], 0), head=values["head"])


TINY = Space(
    "tiny",
    (Dimension("width1", (8, 16, 24)), Dimension("width3", (8, 16, 24)), Dimension("depth", (0, 1, 2)), Dimension("head", (16, 32, 48))),
    _build,
    # The biggest and the smallest themselves need not be valid, nor every value beside them.
    lambda choice: choice["width3"] != 24 or choice["depth"] == 1,
    SIZE,
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The command sees the tiny space, and the measurer that a test puts here."""
    held = SimpleNamespace(measurer=FakeMeasurer(fixed=0.1, scale=1.1))
    monkeypatch.setitem(profile.SPACES, "tiny", TINY)
    monkeypatch.setattr(profile, "Measurer", lambda rounds: held.measurer)
    return held


def _run(path: Path, *more: str) -> int:
    return main(["search", "profile", "--space", "tiny", "-o", str(path), "--size", "64x64", "--networks", "8", *more])


def test_the_table_predicts_the_whole_space(
    tiny: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(tmp_path / "t.json", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["coverage"] == 1.0 and facts["error"]["largest"] < 1e-6 and facts["error"]["networks"] == len(facts["checked"])
    assert len(tiny.measurer.measured) == len(set(tiny.measurer.measured)) == facts["parts"]
    table = LatencyTable.load(tmp_path / "t.json")
    for row in facts["checked"]:
        arch = architecture_from_json(row["architecture"])
        assert table.predict(arch) == pytest.approx(0.1 + 1.1 * true_ms(arch, SIZE)) == row["predicted_ms"]


def test_an_interruption_loses_at_most_a_group(
    tiny: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.json"
    measured: list[str] = []
    timed = 0
    for stop in (1, 1, 1):
        tiny.measurer = FakeMeasurer(stop_after=stop)
        assert _run(path, "--parts", "0") == 130
        assert capsys.readouterr().err.splitlines()[-1] == "vipose: interrupted"
        measured += tiny.measurer.measured
        timed += len(tiny.measurer.networks_timed)
        kept = json.loads(path.read_text())
        assert len(kept["parts"]) == len(measured) and len(kept["timed"]) == timed
    tiny.measurer = FakeMeasurer()
    assert _run(path, "--parts", "0") == 0
    measured += tiny.measurer.measured
    assert len(set(measured)) == len(measured) > 16
    assert timed + len(tiny.measurer.networks_timed) == len(json.loads(path.read_text())["timed"])
    tiny.measurer = FakeMeasurer()
    assert _run(path, "--parts", "0") == 0 and tiny.measurer.measured == tiny.measurer.networks_timed == []


def test_every_choice_of_every_dimension_is_measured() -> None:
    table = LatencyTable("tiny", SIZE, FakeMeasurer())
    Profiler(TINY, ProfileConfig(networks=4, parts=0, size=SIZE), table).parts(lambda done, total: None)
    names = set(table.names.values())
    for width in (8, 16, 24):
        assert f"BasicBlock {width}x4x4" in names
    assert {"Conv2d 8x16x16", "Conv2d 16x16x16", "Conv2d 24x16x16"} <= names


def test_temporal_profiles_know_every_fusion() -> None:
    table = LatencyTable("tiny", SIZE, FakeMeasurer())
    profiler = Profiler(TINY, ProfileConfig(networks=8, parts=200, temporal=True, size=SIZE), table)
    profiler.parts(lambda done, total: None)
    profiler.whole(lambda done, total: None)
    arch = TINY.architecture(TINY.smallest)
    for stage in (1, 2, 3, 4):
        for operator in ("add", "mul", "cat"):
            assert not table.missing(replace(arch, fusion=Fusion(stage, operator)))  # type: ignore[arg-type]
    assert {a.fusion is None for a in [*profiler.fit, *profiler.check]} == {True, False}
    assert not set(profiler.fit) & set(profiler.check) and profiler.coverage(30) == 1.0


def test_random_networks_stop_at_the_number_of_parts() -> None:
    few, many = (LatencyTable("tiny", SIZE, FakeMeasurer()) for _ in range(2))
    Profiler(TINY, ProfileConfig(networks=4, parts=0, size=SIZE), few).parts(lambda done, total: None)
    Profiler(TINY, ProfileConfig(networks=4, parts=len(few.parts) + 1, size=SIZE), many).parts(lambda done, total: None)
    assert len(few.parts) < len(many.parts) <= len(few.parts) + 12


def test_networks_are_drawn_alike_after_a_resume() -> None:
    one, two = (Profiler(TINY, ProfileConfig(networks=8, size=SIZE), LatencyTable("tiny", SIZE)) for _ in range(2))
    assert one.fit == two.fit and one.check == two.check


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--space", "none", "-o", "t.json"], 3, "there is no search space 'none'"),
        (["--space", "tiny", "-o", "t.json", "--size", "100x64"], 2, "multiples of 32"),
        (["--space", "tiny", "-o", "t.json", "--size", "big"], 2, "write WIDTHxHEIGHT"),
        (["--space", "tiny", "-o", "t.json", "--networks", "3"], 2, "give 4 or more"),
        (["--space", "tiny", "-o", "t.json", "--rounds", "0"], 2, "--rounds"),
        (["--space", "tiny", "-o", "none/t.json"], 3, "choose another place"),
        (["--space", "tiny", "-o", "other.json"], 3, "is a table of 'another'"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    code: int,
    says: str,
    tiny: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    LatencyTable("another", SIZE).save(Path("other.json"))
    assert main(["search", "profile", *arguments]) == code
    said = capsys.readouterr().err.strip()
    assert says in said and "\n" not in said and not tiny.measurer.measured
