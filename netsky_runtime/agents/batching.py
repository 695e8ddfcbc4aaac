"""Which waiting inputs become the next turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.states import InputMode, MessageKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from netsky_runtime.records import ActorInput, Message

BATCH_BYTES = 512 * 1024
"""Reports are merged up to this size, and no more of them than ``BATCH_COUNT``."""
BATCH_COUNT = 50
"""As many as a recovery names when their turn is cut."""


def next_batch(
    waiting: Sequence[ActorInput],
    messages: Mapping[str, Message],
    *,
    alone: Collection[str] = (),
) -> tuple[ActorInput, ...]:
    """Return the inputs of the next turn, oldest first; empty when nothing waits.

    What recovers a cut turn goes before everything else: it is about what went on before all
    that waits. Next comes an interrupt-and-send. Reports that wait one behind the other
    go in together; whatever else was sent, above all the owner's words, has a turn of its own,
    and so have the inputs in ``alone``.
    """
    if not waiting:
        return ()
    recovering = [item for item in waiting if item.recovers]
    urgent = [item for item in waiting if item.mode is InputMode.INTERRUPT]
    first = (recovering or urgent or waiting)[0]
    if first.id in alone or not _merges(first, messages):
        return (first,)
    batch: list[ActorInput] = []
    size = 0
    for item in waiting[waiting.index(first) :]:
        size += _size(messages[item.message_id].body)
        full = size > BATCH_BYTES or len(batch) >= BATCH_COUNT
        if batch and (full or item.id in alone or not _merges(item, messages)):
            break
        batch.append(item)
    return tuple(batch)


def _size(body: str) -> int:
    """Return the bytes of a body once it is escaped for its envelope."""
    return len(body.encode()) + 4 * body.count("&") + 3 * (body.count("<") + body.count(">"))


def _merges(item: ActorInput, messages: Mapping[str, Message]) -> bool:
    return messages[item.message_id].kind is MessageKind.REPORT and item.mode is InputMode.QUEUE
