"""Sessions: what the shared options of the trainings mean."""

from __future__ import annotations

import argparse

import pytest

torch = pytest.importorskip("torch")

from vipose.models.training import session as module
from vipose.models.training.distributed import ALONE
from vipose.models.training.schedule import Length
from vipose.models.training.session import Session, add_session, session
from vipose.runtime.errors import DeviceError


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_session(parser, Length("minutes", (37.0, 70.0)))
    return parser.parse_args(argv)


@pytest.fixture(autouse=True)
def nothing_for_the_whole_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "keep_memory", lambda: True)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def test_options_become_a_session() -> None:
    with session(parse("--device", "cpu", "--precision", "fp32", "--epochs", "0", "250", "--workers", "3")) as here:
        assert here.compute.device.type == "cpu" and not here.compute.bf16 and here.world is ALONE and here.workers == 3
        assert here.length == Length("epochs", (0.0, 250.0))
        assert here.stages(slice(1, None)).length == Length("epochs", (250.0,))
    with session(parse("--device", "cpu")) as here:
        assert here.length == Length("minutes", (37.0, 70.0))


def test_without_options_the_recipe_decides() -> None:
    assert Session().stages(slice(1)) == Session()


def test_a_device_that_is_not_there_stops_before_anything_begins() -> None:
    with pytest.raises(DeviceError, match="cuda:7"), session(parse("--device", "cuda:7")):
        pass
