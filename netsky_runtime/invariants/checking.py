"""Looking at a whole home: its rows, its histories and its processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.binary import codex_home
from netsky_runtime.invariants import histories, on_messages, on_work, processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.db.connection import Reader, Tx
    from netsky_runtime.invariants.checks import Check, RowCheck, Violation
    from netsky_runtime.paths import Home

ROWS: Final[Sequence[RowCheck]] = (*on_messages.CHECKS, *on_work.CHECKS)
EVERY: Final[Sequence[Check]] = (*ROWS, *histories.CHECKS, *processes.CHECKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was looked at and what was found."""

    checks: Sequence[Check]
    violations: Sequence[Violation]
    read: int
    """Threads whose history was read."""
    unread: Mapping[str, str]
    """Threads whose history could not be, and why."""


async def look_at_rows(tx: Tx, *, live: bool) -> list[Violation]:
    """Return what rows violate in one snapshot; ``live`` says whether a daemon works on them."""
    found: list[Violation] = []
    for check in ROWS:
        if live or not check.live:
            found += await check.look(tx)
    return found


async def check(home: Home, environ: Mapping[str, str], database: Reader, *, live: bool) -> Report:
    """Check everything. Only reads.

    Histories are read between two looks at the rows: what they show was intended before.
    """
    kept = await database.read(histories.kept)
    codex = Path(codex_home(environ))
    heard = await asyncio.to_thread(histories.hear, home, codex, kept)
    sent = await database.read(lambda tx: histories.attempts(tx, heard))
    found = await database.read(lambda tx: look_at_rows(tx, live=live))
    found += histories.compare(heard, sent)
    of_home = await database.read(processes.known)
    found += await asyncio.to_thread(processes.look, home, of_home, live=live)
    looked = [each for each in EVERY if live or not getattr(each, "live", False)]
    return Report(checks=looked, violations=found, read=len(heard.inputs), unread=heard.unread)
