"""What threads themselves keep: which inputs they heard, and what became of what they asked.

Read from the disk, where the scripted runtime and Codex leave it, whether or not they run.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.codex.base import HistoryUnavailable
from netsky_runtime.db import rows
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.codex.base import HistoricItem, HistoricTurn
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.paths import Home

_THREADS = """
SELECT threads.id, threads.runtime FROM threads WHERE threads.parent_id = '' ORDER BY created_at, id
"""
_TAGS = "SELECT DISTINCT tag FROM sessions WHERE tag <> ''"
# Ids are plain: "i-…" stands in the example of netsky's instructions, which some doors keep as a
# user message.
_MARK = re.compile(r'^[ \t]*<netsky tag="([^"<>\s]+)" input="([\w-]+)">', re.MULTILINE | re.ASCII)
_ASKING = frozenset({"command", "file_change"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which threads there are, and by what their inputs are known."""

    threads: Mapping[str, RuntimeName]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the threads of a home have heard and done."""

    inputs: Mapping[str, Counter[str]]
    """How often each input stands in a thread's history, by thread."""
    ran: Mapping[tuple[str, str], bool]
    """Whether a command or patch was carried out, ``False`` where it was declined, by thread and
    item. What a cut turn left without an end is not in it."""
    unread: Mapping[str, str]
    """Threads without a history that can be read, and why."""

    def stands(self, input_id: str) -> int:
        """Return how often the input stands in all histories together."""
        return sum(counted[input_id] for counted in self.inputs.values())


async def kept(tx: Tx) -> Kept:
    """Return the threads that actors have had; those of sub-agents quote another's words."""
    threads = {row["id"]: RuntimeName(row["runtime"]) for row in await rows.many(tx, _THREADS)}
    return Kept(threads=threads, tags=frozenset(row["tag"] for row in await rows.many(tx, _TAGS)))


def hear(home: Home, codex_home: Path, known: Kept) -> Heard:
    """Read every history. Blocks: call it in a thread."""
    inputs: dict[str, Counter[str]] = {}
    ran: dict[tuple[str, str], bool] = {}
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
        for item in (item for turn in turns for item in turn.items):
            if (done := _carried_out(item)) is not None:
                ran[thread_id, item.id] = done
    return Heard(inputs=inputs, ran=ran, unread=unread)


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


def _carried_out(item: HistoricItem) -> bool | None:
    """Say whether what an item asked for was done; ``None`` where that cannot be told."""
    if item.type not in _ASKING:
        return None
    if item.data.get("status") == "declined":
        return False
    # A command that ran has an exit code; one without was cut, or could not be started.
    done = item.data.get("status") == "completed" or item.data.get("exit_code") is not None
    return True if done else None
