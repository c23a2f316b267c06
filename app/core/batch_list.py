"""The ordered items of a batch queue, each source once; knows no threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from vipose.app.core.batch_items import BatchItem, ItemState, item_may_follow
from vipose.runtime.media.sources import SourceSpec

__all__ = ["ItemList"]

_AGAIN: dict[str, Any] = {
    "state": ItemState.WAITING, "done": 0, "fps": 0.0, "note": "", "message": "", "report": None, "outputs": (),
}  # fmt: skip


class ItemList:
    """Items in the order in which they will run."""

    def __init__(self) -> None:
        self._items: list[BatchItem] = []
        self._keys: set[str] = set()
        self._last_id = 0

    def all(self) -> tuple[BatchItem, ...]:
        """The items as they are now."""
        return tuple(self._items)

    def get(self, item_id: int) -> BatchItem | None:
        """One item; None where it was removed."""
        return next((item for item in self._items if item.id == item_id), None)

    def add(self, key: str, text: str, spec: SourceSpec | None, *, message: str = "") -> BatchItem | None:
        """Append a source; None where it is there already.

        Args:
            key: the same for two spellings of one source.
            text: the path as it was given.
            spec: the source; None where the text names none: the item has failed from the start.
            message: why it failed.
        """
        if key in self._keys:
            return None
        self._keys.add(key)
        self._last_id += 1
        state = ItemState.FAILED if spec is None else ItemState.WAITING
        self._items.append(BatchItem(self._last_id, key, text, spec, state, message=message))
        return self._items[-1]

    def update(self, item_id: int, **changes: Any) -> BatchItem | None:
        """Change fields of an item and return it; None where it was removed.

        Raises:
            ValueError: the new state may not follow the present one.
        """
        for at, item in enumerate(self._items):
            if item.id == item_id:
                self._items[at] = _changed(item, changes)
                return self._items[at]
        return None

    def cancel_waiting(self, ids: Collection[int], message: str) -> None:
        """Let items that wait be cancelled."""
        changes = {"state": ItemState.CANCELLED, "message": message}
        self._items = [
            _changed(item, changes) if item.id in ids and item.state is ItemState.WAITING else item for item in self._items
        ]

    def next_waiting(self) -> BatchItem | None:
        """The first item that waits."""
        return next((item for item in self._items if item.state is ItemState.WAITING), None)

    def retry(self, ids: Collection[int]) -> list[BatchItem]:
        """Let items that ended wait again; returns those that were taken out since their text has to be looked up anew."""
        lost = [item for item in self._items if item.id in ids and item.spec is None]
        kept = [item for item in self._items if item.id not in ids or item.spec is not None]
        self._keep([_changed(item, _AGAIN) if item.id in ids and item.state.ended else item for item in kept])
        return lost

    def remove(self, ids: Collection[int]) -> None:
        """Take items out; the one that runs stays."""
        self._keep([item for item in self._items if item.id not in ids or item.state is ItemState.RUNNING])

    def clear_finished(self) -> None:
        """Take out what ended well; failed, partial and cancelled ones stay to be tried again."""
        self._keep([item for item in self._items if not item.state.well])

    def shift(self, ids: Collection[int], step: int) -> None:
        """Move items one row up (``step`` -1) or down (1); those at the edge stay, and none overtakes another."""
        order = self._items if step < 0 else self._items[::-1]
        for at in range(1, len(order)):
            if order[at].id in ids and order[at - 1].id not in ids:
                order[at - 1], order[at] = order[at], order[at - 1]
        self._items = order if step < 0 else order[::-1]

    def move(self, ids: Collection[int], before: int) -> None:
        """Bring items together, in their order, in front of row ``before`` (the number of rows for the end)."""
        moved = [item for item in self._items if item.id in ids]
        head = [item for item in self._items[:before] if item.id not in ids]
        tail = [item for item in self._items[before:] if item.id not in ids]
        self._items = [*head, *moved, *tail]

    def _keep(self, items: list[BatchItem]) -> None:
        self._items, self._keys = items, {item.key for item in items}


def _changed(item: BatchItem, changes: Mapping[str, Any]) -> BatchItem:
    state = changes.get("state", item.state)
    if state is not item.state and not item_may_follow(item.state, state):
        raise ValueError(f"{item.name}: {state} cannot follow {item.state}")
    return replace(item, **changes)
