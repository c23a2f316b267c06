"""``vipose search pareto``: the front, the table, the picture, and results that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from vipose.models.networks.architecture import architecture_hash
from vipose.models.search.pareto import Point, front, read_searched
from vipose.models.search.result import Budget, Candidate, SearchResult, save_result
from vipose.models.search.spaces import SPACES
from vipose.runtime.cli import main

SPACE = SPACES["fast-fused"]


def _result(path: Path, ms: bool = True) -> SearchResult:
    """Five candidates, of which two are beaten."""
    rng = np.random.default_rng(0)
    found = []
    for cost, ap in ((2.0, 0.50), (1.0, 0.40), (3.0, 0.45), (4.0, 0.60), (4.0, 0.55)):
        choice = SPACE.sample(rng)
        digest = architecture_hash(SPACE.architecture(choice))
        found.append(Candidate(choice, digest, cost if ms else None, int(cost * 100e6), 10**6, ap, ap))
    outside = Candidate({}, "0" * 12, 3.5 if ms else None, 734_000_000, 2_800_000, 0.52, 0.6)
    result = SearchResult(
        SPACE.name, (96, 128), (192, 256), Budget(4.0, "ms") if ms else Budget(4e8, "MACs"), 0.0, "random", 5, 0, "best.pt", "",
        candidates=tuple(found), reference=("published", outside),
    )  # fmt: skip
    save_result(path, result)
    return result


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_nothing_beats_the_front_and_it_beats_all_the_rest(values: list[tuple[int, int]]) -> None:
    points = [Point(str(n), ap / 10, ms=float(ms)) for n, (ms, ap) in enumerate(values)]
    best = front(points, "ms")
    for point in points:
        beaten = any(b.ap >= point.ap and b.cost("ms") <= point.cost("ms") for b in best)
        assert beaten
    for one in best:
        assert not any(p.ap >= one.ap and p.cost("ms") < one.cost("ms") for p in points)
        assert not any(p.ap > one.ap and p.cost("ms") <= one.cost("ms") for p in points)


def test_results_are_read_as_the_search_wrote_them(tmp_path: Path) -> None:
    result = _result(tmp_path / "s.json")
    found = read_searched(tmp_path / "s.json")
    assert result.chosen is not None and found.chosen == result.chosen.hash and found.name == "s"
    assert [(p.ap, p.ms, p.macs) for p in found.points] == [(c.ap, c.ms, c.macs) for c in result.candidates]
    assert found.reference == Point("published", 0.52, 3.5, 734e6, 2.8e6)


def test_the_front_is_printed_and_the_chosen_one_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = _result(tmp_path / "s.json")
    assert main(["search", "pareto", str(tmp_path / "s.json")]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["1.00", "2.00", "4.00"]
    assert [row.endswith("chosen") for row in rows] == [False, False, True]
    assert main(["search", "pareto", str(tmp_path / "s.json"), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert result.chosen is not None and facts["chosen"] == result.chosen.hash == facts["front"][-1]["name"]
    assert [p["ap"] for p in facts["front"]] == [0.40, 0.50, 0.60] and facts["candidates"] == 5


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_shows_fronts_and_names(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    _result(tmp_path / "s.json")
    (tmp_path / "b").mkdir()
    _result(tmp_path / "b" / "s.json")
    picture = tmp_path / "new" / f"front.{suffix}"
    both = [str(tmp_path / "s.json"), str(tmp_path / "b" / "s.json")]
    assert main(["search", "pareto", *both, "-o", str(picture), "--point", "mine=2.5,0.51"]) == 0
    if suffix == "svg":
        text = picture.read_text()
        assert all(f"<!-- {name} -->" in text for name in ("mine", "published", "4, AP 0.600"))
        assert str(tmp_path / "b" / "s") in text, "two results of one name must be told apart"
    else:
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_milliseconds_cost_is_macs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _result(tmp_path / "s.json", ms=False)
    assert main(["search", "pareto", str(tmp_path / "s.json")]) == 0
    out = capsys.readouterr().out
    assert "front by macs" in out and out.splitlines()[2].split()[:2] == ["-", "100"]
    assert main(["search", "pareto", str(tmp_path / "s.json"), "--cost", "ms"]) == 3
    assert "choose another with --cost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "more", "code", "says"),
    [
        (None, [], 3, "cannot be read"),
        ("{", [], 3, "is no search result"),
        ("[1]", [], 3, "is no search result"),
        ('{"candidates": [{"hash": "a"}]}', [], 3, "KeyError('ap')"),
        ('{"candidates": [{"hash": "a", "ap": NaN, "macs": 1}]}', [], 3, "is no search result"),
        ('{"candidates": []}', [], 3, "has no candidate yet"),
        ('{"candidates": [{"hash": "a", "ap": 0.5, "macs": 1}]}', ["-o", "x.bmp"], 2, "end its name in"),
        ('{"candidates": [{"hash": "a", "ap": 0.5, "macs": 1}]}', ["--point", "x"], 2, "write NAME=COST,AP"),
    ],
)
def test_mistakes_are_one_line(
    text: str | None, more: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    assert main(["search", "pareto", str(path), *more]) == code
    said = capsys.readouterr().err.strip()
    assert says in said and "\n" not in said
