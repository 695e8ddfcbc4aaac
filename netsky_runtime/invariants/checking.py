"""Looking at a whole home: its rows, its histories and its processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.binary import codex_home
from netsky_runtime.db import ledger
from netsky_runtime.invariants import histories, on_histories, on_messages, on_work, processes
from netsky_runtime.invariants.checks import Check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.db.connection import Reader, Tx
    from netsky_runtime.invariants.checks import RowCheck, Violation
    from netsky_runtime.invariants.histories import Heard
    from netsky_runtime.paths import Home

ROWS: Final[Sequence[RowCheck]] = (*on_messages.CHECKS, *on_work.CHECKS)
LEDGER_IS_WHOLE: Final = Check(
    invariant=4,
    name="ledger_is_whole",
    about="Every entry of the ledger follows the one before it, as it was written.",
)
EVERY: Final[Sequence[Check]] = (
    *ROWS,
    LEDGER_IS_WHOLE,
    *on_histories.CHECKS,
    *processes.CHECKS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was looked at and what was found."""

    checks: Sequence[Check]
    violations: Sequence[Violation]
    heard: Heard
    """What the histories show, and which could not be read."""


async def look_at_rows(tx: Tx, *, live: bool) -> list[Violation]:
    """Return what rows violate in one snapshot; ``live`` says whether a daemon works on them."""
    found: list[Violation] = []
    for check in ROWS:
        if live or not check.live:
            found += await check.look(tx)
    if (link := await ledger.verify(tx)) is not None:
        told = f"Entry {link.seq} of the ledger is no link of its chain: {link.why}."
        found.append(LEDGER_IS_WHOLE.found(told, str(link.seq)))
    return found


async def check(home: Home, environ: Mapping[str, str], database: Reader, *, live: bool) -> Report:
    """Check everything. Only reads.

    Histories are read between two looks at the rows: what rows call seen is in them, and what
    they show was intended before.
    """
    claimed = await database.read(on_histories.claims)
    kept = await database.read(histories.kept)
    codex = Path(codex_home(environ))
    heard = await asyncio.to_thread(histories.hear, home, codex, kept)
    sent = await database.read(lambda tx: on_histories.attempts(tx, heard))
    found = await database.read(lambda tx: look_at_rows(tx, live=live))
    found += on_histories.compare(claimed, heard, sent)
    of_home = await database.read(processes.known)
    found += await asyncio.to_thread(processes.look, home, of_home, live=live)
    looked = [each for each in EVERY if live or not getattr(each, "live", False)]
    return Report(checks=looked, violations=found, heard=heard)
