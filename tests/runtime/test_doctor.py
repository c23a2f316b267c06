"""``vipose doctor``: every check in good and bad installations, and the self-test."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.graphs import write_installation
from vipose.runtime import cli, doctor, providers, selftest, shipped
from vipose.runtime.doctor import CHECKS, Check, examine
from vipose.runtime.errors import ModelError
from vipose.runtime.media import camera
from vipose.runtime.selftest import compare, expected_keypoints, run_self_test, write_expected

REAL = shipped.shipped_folder()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of tiny graphs without cameras."""
    folder = write_installation(tmp_path / "exported")
    shutil.copy(REAL / "self-test.jpg", folder)
    for module in (shipped, selftest):
        monkeypatch.setattr(module, "shipped_folder", lambda: folder)
    monkeypatch.setattr(camera, "list_cameras", list)
    monkeypatch.setattr(selftest, "_LEAST_JOINTS", 1)
    return folder


def only(checks: Iterable[Check]) -> Check:
    (check,) = checks
    return check


@pytest.mark.usefixtures("installed")
def test_a_good_installation_has_no_problem() -> None:
    found = examine()
    assert {check.name for check in found} == {*CHECKS, "vipose", "python"}
    assert not [check for check in found if check.status == "problem"]
    assert all("\n" not in check.found + check.remedy for check in found)
    assert all(check.remedy for check in found if check.status != "ok")


@pytest.mark.usefixtures("installed")
def test_command_prints_lines_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("0 problems") and any(line.startswith("ok       graphs") for line in lines)
    assert "\x1b" not in "".join(lines)
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == 0 and {"name", "status", "found", "remedy"} == set(report["checks"][0])


def test_command_fails_on_a_problem(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (installed / "s-vipnas.onnx").unlink()
    assert cli.main(["doctor"]) == 1
    assert "missing (fp16): s-vipnas -> install vipose again" in capsys.readouterr().out


@pytest.mark.usefixtures("installed")
def test_table_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["doctor"]) == 0
    assert "check" in capsys.readouterr().out


def test_changed_graph_is_noticed(installed: Path) -> None:
    path = installed / "t-vipnas-1.onnx"
    path.write_bytes(path.read_bytes().replace(b'"licence"', b'"Licence"'))
    check = only(doctor.check_graphs())
    assert check.status == "problem" and "t-vipnas-1.onnx is not the file of its card" in check.found


def test_missing_and_damaged_cards(installed: Path) -> None:
    (installed / "s-vipnas.json").unlink()
    assert "s-vipnas.onnx has no card" in next(iter(doctor.check_graphs())).found
    (installed / "s-vipnas.json").write_text("{")
    graphs_checks = [check for check in examine() if check.name == "graphs"]
    assert [check.status for check in graphs_checks] == ["problem"]
    assert "s-vipnas.json cannot be read" in graphs_checks[0].found


def test_missing_precisions(installed: Path) -> None:
    (installed / "s-vipnas.fp32.onnx").unlink()
    checks = list(doctor.check_graphs())
    assert [check.status for check in checks] == ["warning", "ok"] and "missing (fp32): s-vipnas" in checks[0].found
    for path in installed.glob("posenas-small*"):
        path.unlink()  # with its card
    assert next(iter(doctor.check_graphs())).found == "missing (fp16): posenas-small"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("packages", "name", "status", "word"),
    [
        ({"onnxruntime", "onnxruntime-gpu"}, "onnxruntime", "problem", "pip uninstall onnxruntime onnxruntime-gpu"),
        ({"onnxruntime-gpu"}, "onnxruntime", "ok", ""),
        ({"opencv-python", "opencv-python-headless"}, "opencv", "warning", "overwrite each other"),
        ({"opencv-python"}, "opencv", "warning", "replace it by opencv-python-headless"),
        ({"opencv-python-headless"}, "opencv", "ok", ""),
        (set(), "opencv", "ok", ""),
    ],
)
def test_packages_that_clash(
    packages: set[str], name: str, status: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: "1.0" if package in packages else None)
    check = only(CHECKS[name]())
    assert check.status == status and word in check.remedy


@pytest.mark.usefixtures("installed")
def test_a_listed_provider_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CPU: runs" in only(doctor.check_providers()).found
    for module in (doctor, providers):
        monkeypatch.setattr(module, "listed_providers", lambda: [providers.CUDA, providers.CPU])

    def fail(path: Path, threads: int, wanted: Any = (providers.CPU,), real: Any = providers.create_session) -> Any:
        if tuple(wanted) != (providers.CPU,):
            raise RuntimeError("libcudnn.so.9 is missing")
        return real(path, threads)

    monkeypatch.setattr(providers, "create_session", fail)
    check = only(doctor.check_providers())
    assert check.status == "warning" and "CUDA: CUDA failed: libcudnn.so.9 is missing" in check.found


def test_no_graph_to_try_providers_with(installed: Path) -> None:
    for path in installed.glob("*.onnx"):
        path.unlink()
    assert only(doctor.check_providers()).status == "problem"


def test_low_disk_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(10e6))
    assert {check.status for check in doctor.check_disk()} == {"warning"}
    monkeypatch.setattr(doctor, "_memory", lambda: (8e9, 1e8))
    assert only(doctor.check_memory()).status == "warning"
    monkeypatch.setattr(doctor, "_memory", lambda: (None, None))
    assert only(doctor.check_memory()).status == "ok"


def test_processor_without_avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr("cv2.checkHardwareSupport", lambda _: False)
    assert only(doctor.check_processor()).status == "warning"


def test_no_h264_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    import av.codec

    def refuse(name: str, mode: str) -> None:
        raise av.codec.codec.UnknownCodecError(name)

    assert "libx264" in only(doctor.check_av()).found
    monkeypatch.setattr(av.codec, "Codec", refuse)
    assert only(doctor.check_av()).status == "problem"


def test_cameras_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "list_cameras", lambda: [camera.CameraInfo(0, "HD Webcam"), camera.CameraInfo(2, "Cam")])
    assert only(doctor.check_cameras()).found == "HD Webcam, Cam"


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterable[Check]:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "CHECKS", {"opencv": fail})
    check = only(examine())
    assert check.status == "problem" and "libGL" in check.found


# --- self-test ---------------------------------------------------------------------------------------------------------


def test_self_test_finds_what_was_expected(installed: Path) -> None:
    write_expected()
    assert compare(run_self_test(), expected_keypoints()) == []
    assert only(doctor.check_self_test()).status == "ok"
    assert set(expected_keypoints().keypoints) == {
        "tiny-s", "tiny-t-1", "tiny-t-2", "tiny-t-3", "efficientpose-a", "posenas-small",
    }  # fmt: skip
    assert cli.main(["doctor", "--self-test"]) == 0


def test_self_test_notices_every_difference(installed: Path) -> None:
    write_expected()
    found, expected = run_self_test(), expected_keypoints()
    moved = {name: points + [2.0, 0, 0] for name, points in found.keypoints.items()}
    assert len(compare(replace(found, keypoints=moved), expected)) == 6
    empty = {name: np.full_like(points, np.nan) for name, points in found.keypoints.items()}
    assert len(compare(replace(found, keypoints=empty), expected)) == 6
    unsure = {name: points - [0, 0, 0.1] for name, points in found.keypoints.items()}
    assert len(compare(replace(found, keypoints=unsure), expected)) == 6
    assert "box" in compare(replace(found, box=found.box + 30), expected)[0]
    assert "other graphs (tiny-s)" in compare(replace(found, graphs={**found.graphs, "tiny-s": "0"}), expected)[0]


def test_self_test_without_its_files(installed: Path) -> None:
    check = [check for check in examine(self_test=True) if check.name == "self-test"]
    assert [c.status for c in check] == ["problem"] and "missing" in check[0].found
    (installed / "self-test.json").write_text('{"box": 3}')
    with pytest.raises(ModelError, match="cannot be read"):
        expected_keypoints()
    (installed / "self-test.jpg").write_bytes(b"no picture")
    with pytest.raises(ModelError, match="damaged"):
        run_self_test()


def test_graphs_that_find_nothing_cannot_become_the_expected(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "_LEAST_JOINTS", 18)
    with pytest.raises(ModelError, match="train it first"):
        write_expected()
    assert not (installed / "self-test.json").exists()


def test_shipped_graphs_pass_their_self_test() -> None:
    assert compare(run_self_test(), expected_keypoints()) == []


def test_the_shipped_picture_is_there_with_its_licence() -> None:
    assert selftest.self_test_picture().shape == (360, 640, 3)
    assert "BSD 3-Clause" in (REAL / "self-test.LICENSE.txt").read_text(encoding="utf-8")


