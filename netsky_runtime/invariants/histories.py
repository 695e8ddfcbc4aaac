"""Invariant 2 in what threads themselves keep: nothing was said to a thread twice.

Read from the disk, where the scripted runtime and Codex leave it, whether or not they run.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import HistoryUnavailable
from netsky_runtime.db import rows
from netsky_runtime.invariants.checks import Check, Violation
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.codex.base import HistoricTurn
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.paths import Home

SAID_ONCE: Final = Check(
    invariant=2,
    name="said_once",
    about="No input stands twice in the history of a thread.",
)
ACCEPTED_BEFORE_SAID: Final = Check(
    invariant=1,
    name="accepted_before_said",
    about="Every input in a thread's history is stored, with the attempt to send it.",
)
CHECKS: Final = (SAID_ONCE, ACCEPTED_BEFORE_SAID)

_THREADS = """
SELECT threads.id, threads.runtime FROM threads WHERE threads.parent_id = '' ORDER BY created_at, id
"""
_TAGS = "SELECT DISTINCT tag FROM sessions WHERE tag <> ''"
_ATTEMPTS = """
SELECT id, attempts FROM actor_inputs WHERE id IN (SELECT value FROM json_each(?))
"""
_MARK = re.compile(r'^[ \t]*<netsky tag="([^"<>\s]+)" input="([^"<>\s]+)">', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which threads there are, and by what their inputs are known."""

    threads: Mapping[str, RuntimeName]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the threads of a home have heard."""

    inputs: Mapping[str, Counter[str]]
    """How often each input stands in a thread's history, by thread."""
    unread: Mapping[str, str]
    """Threads without a history that can be read, and why."""


async def kept(tx: Tx) -> Kept:
    """Return the threads that actors have had; those of sub-agents quote another's words."""
    threads = {row["id"]: RuntimeName(row["runtime"]) for row in await rows.many(tx, _THREADS)}
    return Kept(threads=threads, tags=frozenset(row["tag"] for row in await rows.many(tx, _TAGS)))


def hear(home: Home, codex_home: Path, known: Kept) -> Heard:
    """Read every history. Blocks: call it in a thread."""
    inputs: dict[str, Counter[str]] = {}
    unread: dict[str, str] = {}
    for thread_id, runtime in known.threads.items():
        try:
            turns = _turns(home, codex_home, thread_id, runtime)
        except (HistoryUnavailable, OSError, ValueError, KeyError) as error:
            unread[thread_id] = str(error)
            continue
        if turns is None:
            unread[thread_id] = "it has left no history: it may have had no turn"
            continue
        inputs[thread_id] = Counter(_inputs_in(turns, known.tags))
    return Heard(inputs=inputs, unread=unread)


async def attempts(tx: Tx, heard: Heard) -> dict[str, int]:
    """Return how often each input that was heard was sent, as far as it is stored."""
    ids = {input_id for counted in heard.inputs.values() for input_id in counted}
    return {row["id"]: row["attempts"] for row in await rows.many(tx, _ATTEMPTS, rows.words(ids))}


def compare(heard: Heard, sent: Mapping[str, int]) -> list[Violation]:
    """Return what histories show that must never be.

    ``sent`` is from after they were read: what a thread has heard was intended before.
    """
    found = []
    for thread_id, counted in heard.inputs.items():
        for input_id, times in counted.items():
            if times > 1:
                told = f"Input {input_id} stands {times} times in the history of {thread_id}."
                found.append(SAID_ONCE.found(told, input_id, thread_id))
            if not sent.get(input_id):
                told = f"The history of {thread_id} shows {input_id}, "
                told += "which is not stored" if input_id not in sent else "which was never sent"
                found.append(ACCEPTED_BEFORE_SAID.found(f"{told}.", input_id, thread_id))
    return found


def _turns(
    home: Home, codex_home: Path, thread_id: str, runtime: RuntimeName
) -> Sequence[HistoricTurn] | None:
    if runtime is RuntimeName.SCRIPTED:
        from netsky_runtime.codex.scripted.files import ThreadFile

        remembered = ThreadFile(home.scripted, thread_id).peek()
        return None if remembered is None else [turn.historic() for turn in remembered.turns]
    from netsky_runtime.codex.rollout import find_thread, read_history

    path = find_thread(codex_home, thread_id)
    return None if path is None else read_history(path, running=True)


def _inputs_in(turns: Iterable[HistoricTurn], tags: Collection[str]) -> Iterable[str]:
    """Yield the inputs of every user message that netsky sent, each once a message."""
    for turn in turns:
        for item in turn.items:
            if item.type == "user_message":
                marks = dict.fromkeys(_MARK.findall(item.text))
                yield from (input_id for tag, input_id in marks if tag in tags)
