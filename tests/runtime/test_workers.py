"""Workers: order, exceptions, nesting, and no threads for one."""

from __future__ import annotations

import threading
import time

import pytest

from vipose.runtime import workers as module
from vipose.runtime.errors import UsageError
from vipose.runtime.workers import Workers, available_cores, current_worker


def test_order_is_kept_when_later_items_end_first() -> None:
    release = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert release.wait(10)  # the first item ends last
        elif item == 3:
            release.set()
        return item * item

    with Workers(2) as workers:
        assert workers.map(work, range(4)) == [0, 1, 4, 9]


def test_people_really_run_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=10)
    with Workers(2) as workers:
        workers.map(lambda _: meeting.wait(), range(2))  # a broken barrier would raise


def test_one_worker_starts_no_thread() -> None:
    with Workers(1) as workers:
        assert workers.map(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3
        assert workers._pool is None


def test_a_single_item_stays_in_the_calling_thread() -> None:
    with Workers(4) as workers:
        assert workers.map(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]
        assert workers.map(lambda item: item, []) == []


def test_first_exception_in_order_is_raised_after_started_calls_ended() -> None:
    ended = []

    def work(item: int) -> None:
        if item == 1:
            time.sleep(0.05)
            ended.append(item)
            return
        raise KeyError(item)

    with Workers(3) as workers:
        with pytest.raises(KeyError, match="0"):
            workers.map(work, range(3))
        assert ended == [1]
        assert workers.map(lambda item: item, range(3)) == [0, 1, 2]  # still usable


def test_nested_map_cannot_lock_up() -> None:
    with Workers(2) as workers:
        nested = workers.map(lambda a: workers.map(lambda b: (a, b, current_worker()), range(3)), range(4))
    assert [[(a, b) for a, b, _ in row] for row in nested] == [[(a, b) for b in range(3)] for a in range(4)]
    assert all(len({number for _, _, number in row}) == 1 for row in nested)


def test_workers_are_numbered_from_zero() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def work(_: int) -> int | None:
        meeting.wait()
        return current_worker()

    with Workers(3) as workers:
        assert sorted(n for n in workers.map(work, range(3)) if n is not None) == [0, 1, 2]
    assert current_worker() is None


def test_closed_workers_refuse_and_leave_no_thread() -> None:
    workers = Workers(2)
    workers.map(lambda item: item, range(4))
    workers.close()
    workers.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("vipose-worker")]
    with pytest.raises(RuntimeError, match="closed"):
        workers.map(lambda item: item, range(4))


def test_zero_threads_is_one_a_core() -> None:
    assert Workers(0).threads == available_cores() >= 1


def test_negative_threads_are_refused() -> None:
    with pytest.raises(UsageError, match="-1 threads"):
        Workers(-1)


@pytest.mark.parametrize(("text", "expected"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("?", 8)])
def test_a_containers_quota_counts(text: str, expected: int, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    monkeypatch.setattr(module, "_QUOTA", quota)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_cores() == expected
