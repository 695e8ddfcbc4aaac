"""Finding inputs in a thread's history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsky_runtime.codex.base import HistoricItem, HistoricTurn
    from netsky_runtime.records import ActorInput

InputIds = Callable[[str], tuple[str, ...]]
"""Finds the input ids in a user message's text."""


def carried(
    item: HistoricItem, inputs: Iterable[ActorInput], *, input_ids: InputIds
) -> frozenset[str]:
    """Return the ids of those ``inputs`` that this user message carried.

    By the batch id where the version keeps it, and by the ids in the text where it does not
    (0.120 has no client ids in history).
    """
    if item.type != "user_message":
        return frozenset()
    in_text = frozenset(input_ids(item.text))
    return frozenset(
        candidate.id
        for candidate in inputs
        if candidate.id in in_text or (item.client_id and item.client_id == candidate.batch_id)
    )


def find(
    inputs: Sequence[ActorInput], turns: Sequence[HistoricTurn], *, input_ids: InputIds
) -> dict[str, HistoricTurn]:
    """Return, for each input that history knows, the first turn that consumed it.

    Each message of the history is read once, however many inputs there are.
    """
    if not inputs:
        return {}
    known = {item.id for item in inputs}
    batches: dict[str, list[str]] = {}
    for item in inputs:
        if item.batch_id:
            batches.setdefault(item.batch_id, []).append(item.id)
    found: dict[str, HistoricTurn] = {}
    for turn in turns:
        for said in turn.items:
            if said.type != "user_message":
                continue
            for input_id in (*batches.get(said.client_id, ()), *input_ids(said.text)):
                if input_id in known:
                    found.setdefault(input_id, turn)
    return found
