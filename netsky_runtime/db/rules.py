"""Rows of ``rules``: what the owner has accepted beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.approval_records import Rule
from netsky_runtime.db import ledger, rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.states import LedgerKind

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM rules"
_GET = "SELECT * FROM rules WHERE id = ?"
_ALL = "SELECT * FROM rules ORDER BY number"
_ACTIVE = "SELECT * FROM rules WHERE revoked_at IS NULL ORDER BY number"
_SAME = """
SELECT * FROM rules WHERE cwd = ? AND pattern = ? AND actors = ? AND revoked_at IS NULL
"""
_REVOKE = "UPDATE rules SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING *"


async def add(tx: Tx, *, cwd: str, pattern: str, actors: str, by: str, now: int) -> Rule:
    """Store a rule that holds from now on.

    Raises ``Conflict`` when the same one is in force already.
    """
    present = await rows.one(tx, _SAME, cwd, pattern, actors)
    if present is not None:
        msg = f"Rule {present['id']} says the same."
        raise Conflict(msg)
    number = int(await rows.value(tx, _NEXT_NUMBER))
    rule = Rule(id=f"r{number}", cwd=cwd, pattern=pattern, actors=actors, created_at=now)
    await rows.insert(
        tx,
        "rules",
        {
            "number": number,
            "id": rule.id,
            "cwd": cwd,
            "pattern": pattern,
            "actors": actors,
            "created_at": now,
        },
    )
    await ledger.append(tx, LedgerKind.RULE_ADDED, _told(rule, by), now=now)
    return rule


async def revoke(tx: Tx, rule_id: str, *, by: str, now: int) -> Rule:
    """End a rule; what it answered stays answered. Raises ``NotFound`` or ``Conflict``."""
    row = await rows.one(tx, _REVOKE, now, rule_id)
    if row is None:
        await require(tx, rule_id)
        msg = f"Rule {rule_id} is revoked already."
        raise Conflict(msg)
    rule = _rule(row)
    await ledger.append(tx, LedgerKind.RULE_REVOKED, _told(rule, by), now=now)
    return rule


async def require(tx: Tx, rule_id: str) -> Rule:
    """Return the rule; raises ``NotFound``."""
    row = await rows.one(tx, _GET, rule_id)
    if row is None:
        msg = f"There is no rule {rule_id!r}."
        raise NotFound(msg, hint="`netsky rules list` shows them.")
    return _rule(row)


async def list_(tx: Tx, *, revoked: bool = False) -> tuple[Rule, ...]:
    """Return the rules in force, oldest first; with ``revoked`` also those that were."""
    return tuple(_rule(row) for row in await rows.many(tx, _ALL if revoked else _ACTIVE))


def _told(rule: Rule, by: str) -> dict[str, str]:
    return {
        "by": by,
        "rule": rule.id,
        "cwd": rule.cwd,
        "allow": rule.pattern,
        "for": rule.actors,
    }


def _rule(row: Row) -> Rule:
    return Rule(
        id=row["id"],
        cwd=row["cwd"],
        pattern=row["pattern"],
        actors=row["actors"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
