"""Whoever wants to be called."""

from __future__ import annotations

from vipose.app.core.listeners import Listeners


def test_everybody_is_called_in_order_until_they_leave() -> None:
    heard: list[tuple[str, object]] = []
    listeners = Listeners()
    leave = listeners.subscribe(lambda value: heard.append(("a", value)))
    listeners.subscribe(lambda value: heard.append(("b", value)))
    listeners(1)
    leave()
    leave()
    listeners(2)
    assert heard == [("a", 1), ("b", 1), ("b", 2)]


def test_one_may_leave_while_it_is_called() -> None:
    listeners = Listeners()
    heard: list[str] = []

    def once() -> None:
        heard.append("once")
        leave()

    leave = listeners.subscribe(once)
    listeners.subscribe(lambda: heard.append("other"))
    listeners()
    listeners()
    assert heard == ["once", "other", "other"]
