"""Rows of ``pauses``: times in which nothing is dispatched to anybody.

Wall times are stored and looked at anew each time, so a clock that jumps ends a pause early or
late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.budgets import Pause
from netsky_runtime.db import rows
from netsky_runtime.states import PauseKind

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

# As the index has it: a pause without an end lasts longest.
_UNTIL = "coalesce(resumes_at, 9223372036854775807)"
_CURRENT = f"""
SELECT * FROM pauses WHERE ended_at IS NULL AND {_UNTIL} > ? AND kind <> 'day'
ORDER BY {_UNTIL} DESC, seq LIMIT 1
"""  # noqa: S608 - constants only
_ENDED = """
SELECT max(over_at) FROM (
    SELECT over_at FROM pauses WHERE over_at <= ?1 AND began_at <= ?1
    ORDER BY over_at DESC LIMIT 1)
"""
_OPEN_OF_KIND = f"""
SELECT * FROM pauses WHERE ended_at IS NULL AND kind = ?1 AND {_UNTIL} > ?2
ORDER BY seq DESC LIMIT 1
"""  # noqa: S608 - constants only
_LAST_OF_KIND = "SELECT * FROM pauses WHERE kind = ? ORDER BY seq DESC LIMIT 1"
_PROLONG = "UPDATE pauses SET resumes_at = ?, reason = ? WHERE seq = ?"
_END = f"""
UPDATE pauses SET ended_at = ?1 WHERE ended_at IS NULL AND {_UNTIL} > ?1
    AND kind IN (SELECT value FROM json_each(?2))
RETURNING *
"""  # noqa: S608 - constants only


async def current(tx: Tx, now: int) -> Pause | None:
    """Return the pause that lasts longest of those that last.

    Not the day's: whether its budget is used up is seen from what was used.
    """
    row = await rows.one(tx, _CURRENT, now)
    return None if row is None else _pause(row)


async def ended(tx: Tx, now: int) -> int | None:
    """Return when the last pause that is over was over."""
    found = await rows.value(tx, _ENDED, now)
    return None if found is None else int(found)


async def last(tx: Tx, kind: PauseKind) -> Pause | None:
    """Return the last pause of a kind, be it over or not."""
    row = await rows.one(tx, _LAST_OF_KIND, kind.value)
    return None if row is None else _pause(row)


async def lasting(tx: Tx, kind: PauseKind, now: int) -> Pause | None:
    """Return the pause of a kind that lasts, if one does."""
    row = await rows.one(tx, _OPEN_OF_KIND, kind.value, now)
    return None if row is None else _pause(row)


async def begin(tx: Tx, kind: PauseKind, reason: str, *, resumes_at: int | None, now: int) -> Pause:
    """Pause the fleet; one of the same kind that lasts gets the new end and reason."""
    known = await lasting(tx, kind, now)
    if known is not None:
        await rows.many(tx, _PROLONG, resumes_at, reason, known.seq)
    else:
        values = {"kind": kind.value, "reason": reason, "began_at": now, "resumes_at": resumes_at}
        await rows.insert(tx, "pauses", values)
    row = await rows.one(tx, _LAST_OF_KIND, kind.value)
    if row is None:
        msg = "a pause was stored and is not there"
        raise RuntimeError(msg)
    return _pause(row)


async def end(tx: Tx, *kinds: PauseKind, now: int) -> tuple[Pause, ...]:
    """End the pauses of these kinds that last, and return them; of every kind without any."""
    wanted = rows.words(kind.value for kind in kinds or PauseKind)
    return tuple(_pause(row) for row in await rows.many(tx, _END, now, wanted))


def _pause(row: Row) -> Pause:
    return Pause(
        seq=row["seq"],
        kind=PauseKind(row["kind"]),
        reason=row["reason"],
        began_at=row["began_at"],
        resumes_at=row["resumes_at"],
        ended_at=row["ended_at"],
    )
