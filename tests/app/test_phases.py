"""The phases of a worker."""

from __future__ import annotations

import pytest

from vipose.app.core.phases import Phase, may_follow


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_left_and_reached(phase: Phase) -> None:
    assert any(may_follow(phase, then) for then in Phase)
    assert any(may_follow(before, phase) for before in Phase)


def test_a_stopped_session_opens_before_it_runs() -> None:
    assert not may_follow(Phase.IDLE, Phase.RUNNING) and may_follow(Phase.IDLE, Phase.OPENING)


@pytest.mark.parametrize("phase", [p for p in Phase if p.active and p is not Phase.STOPPING])
def test_what_is_active_can_be_stopped(phase: Phase) -> None:
    assert may_follow(phase, Phase.STOPPING)
