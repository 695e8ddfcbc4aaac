"""The end of a torture: what was accepted against rows, histories and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.connection import Reader
    from netsky_runtime.invariants.histories import Heard
    from netsky_runtime.torture.accounts import Accounts
    from netsky_runtime.torture.report import Report

EXPLAINED: Final = frozenset(
    {
        "actor parked",  # its turn was cut too often, or its thread was lost too often
        "the engine is hung up on",  # it was killed
    }
)
"""Errors in the log that come of the kills; any other is a failure."""
_ERRORS = """
SELECT message, fields_json FROM logs
WHERE level = 'error' AND message NOT IN (SELECT value FROM json_each(?)) LIMIT 20
"""
_COMPLETED = "SELECT DISTINCT thread_id AS id FROM turns WHERE status = 'completed'"


async def reckon(
    report: Report,
    accounts: Accounts,
    database: Reader,
    heard: Heard,
    *,
    deeds: Sequence[str] | None,
) -> None:
    """Write into the report what became of everything that was accepted.

    ``heard`` is what the histories show in the end, ``deeds`` what accepted commands have made.
    """
    balance = await database.read(lambda tx: accounts.balance(tx, heard, deeds=deeds))
    errors = await database.read(lambda tx: rows.many(tx, _ERRORS, rows.words(EXPLAINED)))
    completed = await database.read(lambda tx: rows.many(tx, _COMPLETED))
    report.inputs, report.ends = len(accounts.sent), balance.ends
    report.refusals = accounts.refusals
    report.read, report.unread = len(heard.inputs), heard.unread
    report.approvals = len(accounts.decided)
    report.lost += balance.lost
    report.doubled += balance.doubled
    report.early += balance.early
    report.approvals_lost += balance.approvals_lost
    report.uncertain = balance.uncertain
    report.failures += [f"{row['message']} {row['fields_json']}" for row in errors]
    # A thread that was killed before its first turn's end may have written nothing yet.
    report.failures += [
        f"the history of {row['id']} was not read: {heard.unread[row['id']]}"
        for row in completed
        if row["id"] in heard.unread
    ]
