"""Graphs by name: those that ship, then the user's; adding, replacing and removing; the command line around it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.fixtures.graphs import detector_graph, pose_graph, pose_metadata, write_installation
from vipose.runtime import cli, library, shipped
from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.library import all_graphs, files_of, find_graph, own_folder, shadowed, stored_precision
from vipose.runtime.modes import MODES, how_to_add, load_mode, missing_graphs, reserved_names
from vipose.runtime.onnxfile import read_metadata
from vipose.runtime.shipped import graph_file


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is not there yet, beside an installation of tiny graphs."""
    installation = write_installation(tmp_path / "exported")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: installation)
    folder = tmp_path / "mine ü"
    monkeypatch.setenv("VIPOSE_MODELS", str(folder))
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main(list(map(str, words)))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def put(folder: Path, name: str, precision: shipped.Precision = "fp16", **more: float) -> Path:
    """A graph of the user's that lies in the folder already."""
    folder.mkdir(exist_ok=True)
    return pose_graph(folder / graph_file(name, precision), replace(pose_metadata(), network=name), **more)


# --- where graphs lie --------------------------------------------------------------------------------------------------


def test_the_folder_is_the_platforms_unless_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIPOSE_MODELS", "~/elsewhere")
    assert own_folder() == Path.home() / "elsewhere"
    monkeypatch.setenv("VIPOSE_MODELS", "")
    assert own_folder().is_absolute() and own_folder().parts[-2:] == ("vipose", "models")


def test_shipped_names_are_protected(own: Path) -> None:
    put(own, "s-vipnas", scale=0.25)
    put(own, "other")
    assert shadowed("s-vipnas") and not shadowed("other")
    assert find_graph("s-vipnas").parent != own and find_graph("other") == own / "other.onnx"
    assert [(g.name, g.where) for g in all_graphs() if g.where == "own"] == [("other", "own")]
    assert {"s-vipnas", "t-vipnas", "t-vipnas-1", "efficientpose-a", "person-detector", "default"} <= reserved_names()
    assert "efficientpose-b" not in reserved_names()


def test_paths_are_no_names(own: Path) -> None:
    put(own, "other")
    for text in ("", "../other", "./other", "other.onnx", "other.fp32", ".hidden", "a/b", "a\\b"):
        assert not files_of(text), text


def test_precisions(own: Path) -> None:
    put(own, "other", "fp32")
    put(own, "other", "int8")
    assert find_graph("other").name == "other.fp32.onnx" and find_graph("other", "int8").name == "other.int8.onnx"
    with pytest.raises(UsageError, match=r"not there in precision 'fp16' \(there: fp32, int8\); choose fp32 or int8"):
        find_graph("other", "fp16")
    with pytest.raises(UsageError, match=r"'efficientpose-a' is not there in precision 'fp32' \(there: fp16\)"):
        load_mode("efficientpose-a", precision="fp32")
    with pytest.raises(UsageError, match="precision 'fp8' is not known; choose one of auto, fp16, fp32, int8"):
        find_graph("other", "fp8")
    with pytest.raises(ModelError, match="'nothing' is missing"):
        find_graph("nothing")


def test_the_detector_follows_the_precision_where_it_can(own: Path) -> None:
    put(own, "other", "int8")
    mode = load_mode("other", precision="int8")
    assert mode.spatial.graph.path.name == "other.int8.onnx"
    assert mode.detector is not None and mode.detector.graph.path.name == "person-detector.onnx"


def test_what_is_stored_is_read_off_the_weights(tmp_path: Path) -> None:
    path = pose_graph(tmp_path / "x.onnx")
    for kind, said in ((np.float32, "fp32"), (np.float16, "fp16"), (np.int8, "int8")):
        model = onnx.load(path)
        model.graph.initializer.append(numpy_helper.from_array(np.zeros((30, 30), kind), f"extra {said}"))
        del model.graph.initializer[:-1]
        onnx.save(model, tmp_path / "y.onnx")
        assert stored_precision(tmp_path / "y.onnx") == said


# --- modes -------------------------------------------------------------------------------------------------------------


def test_a_mode_whose_weights_the_user_brings(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = MODES["efficientpose-b"]
    assert not spec.ships and not spec.temporal and missing_graphs(spec) == ["efficientpose-b"]
    code, _, err = call(capsys, "bench", "--mode", "efficientpose-b")
    assert code == 3 and err.count("\n") == 1 and how_to_add("efficientpose-b") in err
    put(own, "efficientpose-b")
    assert load_mode("efficientpose-b", detector=None).spatial.graph.path == own / "efficientpose-b.onnx"
    assert missing_graphs(spec) == []


def test_every_mode_without_weights_can_be_imported() -> None:
    pytest.importorskip("torch")
    from vipose.models.convert.importable import IMPORTABLE

    for name, spec in MODES.items():
        if not spec.ships:
            assert spec.spatial == name and name in IMPORTABLE
            assert (IMPORTABLE[name].skeleton.name == "mpii16") == name.endswith("-mpii")


def test_a_graph_of_ones_own_is_a_mode(own: Path) -> None:
    put(own, "mine")
    mode = load_mode("mine", detector=None)
    assert (mode.name, mode.period, mode.temporal) == ("mine", 1, ())
    detector_graph(own / "finder.onnx")
    assert load_mode("mine", detector="finder").detector is not None
    with pytest.raises(UsageError, match="finder is a detector"):
        load_mode("finder")
    with pytest.raises(UsageError, match="period 4 is not possible.*'mine' looks at every frame by itself.*leave --period out"):
        load_mode("mine", period=4)


# --- models list, info, verify, remove ---------------------------------------------------------------------------------


def test_list_says_where_and_what_is_missing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(own, "mine")
    put(own, "efficientpose-c", "fp32")
    (own / "torn.onnx").write_bytes(b"nothing")
    code, out, _ = call(capsys, "models", "list")
    rows = {line.split()[0]: line for line in reversed(out.splitlines()) if line}
    assert code == 0 and rows["t-vipnas-1"].split()[1] == "shipped" and "no ONNX graph" in rows["torn"]
    code, out, _ = call(capsys, "models", "list", "--json")
    data = json.loads(out)
    graphs, modes = ({row["name"]: row for row in data[key]} for key in ("graphs", "modes"))
    assert code == 0 and data["own_folder"] == str(own)
    assert (graphs["mine"]["where"], graphs["s-vipnas"]["where"]) == ("own", "shipped") and graphs["torn"]["fault"]
    assert (modes["mine"]["where"], modes["efficientpose-c"]["where"], modes["s-vipnas"]["where"]) == ("own", "own", "shipped")
    lacking = modes["efficientpose-b"]
    assert (lacking["where"], lacking["missing"], lacking["add"]) == ("", ["efficientpose-b"], how_to_add("efficientpose-b"))
    assert set(modes) == {*MODES, "mine"}


def test_info_and_verify_know_ones_own(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(own, "mine")
    code, out, _ = call(capsys, "models", "info", "mine", "--json")
    assert code == 0 and json.loads(out)["path"] == str(own / "mine.onnx")
    code, out, _ = call(capsys, "models", "verify", "--json")
    assert code == 0 and json.loads(out)[-1]["name"] == "mine.onnx"
    code, out, _ = call(capsys, "models", "info", "posenas-l18-c48")
    assert code == 0 and how_to_add("posenas-l18-c48") in out
    code, _, err = call(capsys, "models", "verify", "posenas-l18-c48")
    assert code == 3 and err.count("\n") == 1 and how_to_add("posenas-l18-c48") in err


def test_remove(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for precision in ("fp16", "int8"):
        put(own, "mine", precision)
    (own / "mine.json").write_text("{}")
    put(own, "mine-too")
    for name, said in (("s-vipnas", "not yours to remove"), ("mein", "there: mine, mine-too"), ("../mine", "name of a graph")):
        code, _, err = call(capsys, "models", "remove", name)
        assert code == 2 and said in err and err.count("\n") == 1
    code, out, _ = call(capsys, "models", "remove", "mine")
    assert code == 0 and out.startswith("removed ") and [path.name for path in own.iterdir()] == ["mine-too.onnx"]


def test_doctor_looks_at_ones_own(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(own, "mine")
    _, out, _ = call(capsys, "doctor")
    assert f"ok       own graphs   mine in {own}" in out
    put(own, "s-vipnas")
    (own / "torn.onnx").write_bytes(b"nothing")
    _, out, _ = call(capsys, "doctor", "--json")
    found = [check for check in json.loads(out)["checks"] if check["name"] == "own graphs"]
    assert [check["status"] for check in found] == ["warning", "warning"]
    assert "s-vipnas.onnx is not used" in found[0]["found"] and "models remove torn" in found[1]["remedy"]


# --- models import without -o ------------------------------------------------------------------------------------------


def test_import_puts_a_foreign_graph_among_ones_own(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pose_graph(tmp_path / "net.onnx", embed=False)
    code, out, _ = call(capsys, "models", "import", source)
    assert code == 0 and "vipose run SOURCE --mode net" in out
    assert [path.name for path in own.iterdir()] == ["net.fp32.onnx"]  # as its weights are stored
    assert load_mode("net", detector=None).spatial.metadata.network == "net"
    code, _, err = call(capsys, "models", "import", source)
    assert code == 3 and "already" in err and "--force" in err and err.count("\n") == 1
    assert call(capsys, "models", "import", source, "--force")[0] == 0
    assert call(capsys, "models", "import", source, "--name", "second")[0] == 0
    assert read_metadata(find_graph("second")).network == "second"


@pytest.mark.parametrize("name", ["s-vipnas", "t-vipnas", "efficientpose-a", "default", "a/b", "x.onnx"])
def test_names_that_cannot_be_had(own: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = pose_graph(tmp_path / "net.onnx", embed=False)
    code, _, err = call(capsys, "models", "import", source, "--name", name)
    assert code == 2 and f"'{name}'" in err and err.count("\n") == 1 and not own.exists()


def test_a_vipose_graph_is_copied_with_its_card_and_precisions(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    for precision in ("fp16", "int8"):
        put(made, "trained", precision)
    (made / "trained.json").write_text('{"metrics": {"AP": 0.3}}')
    code, out, _ = call(capsys, "models", "import", made / "trained.int8.onnx", "--name", "mine")
    assert code == 0 and "--mode mine" in out
    assert sorted(path.name for path in own.iterdir()) == ["mine.int8.onnx", "mine.json", "mine.onnx"]
    assert (own / "mine.onnx").read_bytes() == (made / "trained.onnx").read_bytes()
    code, _, err = call(capsys, "models", "import", made / "trained.onnx", "--sigma", "3")
    assert code == 2 and "--sigma contradicts" in err
    # What is replaced goes in all its precisions: none of an older network may stay under the name.
    (made / "trained.int8.onnx").unlink()
    assert call(capsys, "models", "import", made / "trained.onnx", "--name", "mine", "--force")[0] == 0
    assert len(files_of("mine")) == 1


def test_nothing_is_left_of_an_import_that_failed(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(own, "net")
    source = tmp_path / "net.onnx"
    source.write_bytes(b"nothing")
    assert call(capsys, "models", "import", source, "--force")[0] == 3
    assert [path.name for path in own.iterdir()] == ["net.onnx"]


def test_a_folder_that_cannot_be_written(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIPOSE_MODELS", str(tmp_path / "file" / "models"))
    code, _, err = call(capsys, "models", "import", pose_graph(tmp_path / "net.onnx", embed=False))
    assert code == 3 and "VIPOSE_MODELS" in err and err.count("\n") == 1
    assert library.own_graphs() == []


def test_a_checkpoint_becomes_a_mode(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[SimpleNamespace] = []

    def convert(source: Path, target: Path, options: SimpleNamespace) -> SimpleNamespace:
        calls.append(options)
        metadata = replace(pose_metadata(skeleton="mpii16"), network=options.name or "efficientpose-a-mpii")
        pose_graph(target, metadata)
        return SimpleNamespace(network="efficientpose-a-mpii", metadata=metadata, parameters=1, regrouped="not regrouped")

    converter = SimpleNamespace(CheckpointOptions=SimpleNamespace, import_checkpoint=convert)
    monkeypatch.setitem(sys.modules, "vipose.models.convert.checkpoint", converter)  # type: ignore[misc]
    (tmp_path / "weights.pth").write_bytes(b"pickle")
    code, out, err = call(capsys, "models", "import", tmp_path / "weights.pth", "--precision", "fp32")
    assert code == 0 and "--mode efficientpose-a-mpii" in out, err
    mode = load_mode("efficientpose-a-mpii", detector=None)
    assert mode.spatial.graph.path == own / "efficientpose-a-mpii.fp32.onnx" and len(mode.skeleton) == 16
    # The network is known before the conversion only where it is named; either way nothing is replaced unasked.
    assert call(capsys, "models", "import", tmp_path / "weights.pth", "--network", "efficientpose-a-mpii")[0] == 3
    assert len(calls) == 1
    assert call(capsys, "models", "import", tmp_path / "weights.pth")[0] == 3 and len(calls) == 2
    assert call(capsys, "models", "import", tmp_path / "weights.pth", "--name", "ours")[0] == 0
    assert sorted(path.name for path in own.iterdir()) == ["efficientpose-a-mpii.fp32.onnx", "ours.fp32.onnx"]
