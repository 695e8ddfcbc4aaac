"""Rows of ``ledger``: who decided what, when, having seen what. Each names the one before it.

An entry's hash is the SHA-256 of the hash before it, a newline, and the entry as canonical JSON
(sorted keys, no spaces, UTF-8): ``{"approval_id", "at", "entry", "kind", "seq"}``. Whoever changes,
removes, inserts or moves an entry breaks the chain there; whoever cuts off its end leaves a chain
that is whole, which only a noted ``Head`` can tell.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from netsky_runtime.approval_records import LedgerBreak, LedgerEntry, LedgerHead
from netsky_runtime.beside import beside
from netsky_runtime.db import rows
from netsky_runtime.states import ApprovalKind, LedgerKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.db.rows import Row, Tx

GENESIS: Final = "0" * 64
"""What the first entry names as the hash before it."""
_PAGE = 1000

_TIP = "SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1"
_COUNT = "SELECT count(*) FROM ledger"
_FIRST = "SELECT * FROM ledger ORDER BY seq LIMIT ?"
_AFTER = "SELECT * FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?"
_LAST = "SELECT * FROM ledger ORDER BY seq DESC LIMIT ?"
_OF = "SELECT * FROM ledger WHERE approval_id = ? ORDER BY seq"


async def append(
    tx: Tx, kind: LedgerKind, entry: Mapping[str, Any], *, approval_id: str = "", now: int
) -> LedgerEntry:
    """Add an entry, in the transaction of what it tells of."""
    tip = await rows.one(tx, _TIP)
    seq, previous = (1, GENESIS) if tip is None else (tip["seq"] + 1, tip["hash"])
    text = _canonical(entry).decode()
    made = LedgerEntry(
        seq=seq,
        at=now,
        kind=kind,
        approval_id=approval_id,
        entry=rows.load(text),
        previous=previous,
        hash=_hash(previous, seq=seq, at=now, kind=kind, approval_id=approval_id, text=text),
    )
    await rows.insert(
        tx,
        "ledger",
        {
            "seq": seq,
            "at": now,
            "kind": kind.value,
            "approval_id": approval_id,
            "entry_json": text,
            "previous": previous,
            "hash": made.hash,
        },
    )
    return made


async def list_(tx: Tx, *, limit: int) -> tuple[LedgerEntry, ...]:
    """Return the last entries, oldest first."""
    return tuple(_entry(row) for row in reversed(await rows.many(tx, _LAST, limit)))


async def after(tx: Tx, seq: int | None, *, limit: int = _PAGE) -> tuple[LedgerEntry, ...]:
    """Return the entries that follow ``seq``, in order; ``None``: from the first row there is."""
    return tuple(_entry(row) for row in await _page(tx, seq, limit))


async def of(tx: Tx, approval_id: str) -> tuple[LedgerEntry, ...]:
    """Return everything that was done about one approval."""
    return tuple(_entry(row) for row in await rows.many(tx, _OF, approval_id))


async def head(tx: Tx) -> LedgerHead:
    """Return what to note down: how many entries there are, and the hash of the last."""
    tip = await rows.one(tx, _TIP)
    count = int(await rows.value(tx, _COUNT))
    return LedgerHead(count=count, hash=GENESIS if tip is None else tip["hash"])


async def verify(tx: Tx) -> LedgerBreak | None:
    """Follow the chain from its beginning; return its first broken link, none when it is whole."""
    last, previous = None, GENESIS
    while page := await _page(tx, last, _PAGE):
        for row in page:
            if why := _fault(row, (last or 0) + 1, previous):
                return LedgerBreak(seq=row["seq"], why=why)
            last, previous = row["seq"], row["hash"]
    return None


def seen(approval: Approval) -> dict[str, Any]:
    """Return what whoever decided had before them. A patch is named by its SHA-256."""
    shown: dict[str, Any] = {
        "actor": approval.actor_id,
        "kind": approval.kind.value,
        "command": approval.command,
        "cwd": approval.cwd,
        "reason": approval.reason,
        "offered": list(approval.available_decisions),
        "thread": approval.thread_id,
        "turn": approval.turn_id,
        "asked_at": approval.created_at,
    }
    if more := beside(approval.raw):
        shown["beside"] = list(more)
    if approval.patch:
        shown["patch_sha256"] = hashlib.sha256(approval.patch.encode()).hexdigest()
    if approval.questions:
        shown["questions"] = [dict(question) for question in approval.questions]
    if approval.kind is ApprovalKind.PERMISSIONS:
        shown["permissions"] = approval.raw.get("permissions")
    return shown


async def _page(tx: Tx, seq: int | None, limit: int) -> Sequence[Row]:
    # The first row of all, and not that with the number 1: another before it was put there.
    if seq is None:
        return await rows.many(tx, _FIRST, limit)
    return await rows.many(tx, _AFTER, seq, limit)


def ended(approval: Approval, why: str) -> dict[str, Any]:
    """Return what is to be told of an approval that netsky itself ends."""
    told: dict[str, Any] = {"by": "netsky", "why": why, "seen": seen(approval)}
    if approval.decided_by:
        told["decided_by"] = approval.decided_by
    return told


def _fault(row: Row, expected: int, previous: str) -> str:
    """Say what is wrong with a link; empty when nothing is."""
    if row["seq"] < expected:
        return "the first entry is number 1, and this was put before it"
    if row["seq"] > expected:
        missing = row["seq"] - expected
        return f"{missing} before it {'is' if missing == 1 else 'are'} missing"
    if row["previous"] != previous:
        return "it does not follow the entry before it"
    told = _hash(
        row["previous"],
        seq=row["seq"],
        at=row["at"],
        kind=row["kind"],
        approval_id=row["approval_id"],
        text=row["entry_json"],
    )
    return "" if told == row["hash"] else "it was changed after it was written"


def _hash(previous: str, *, seq: int, at: int, kind: str, approval_id: str, text: str) -> str:
    # The entry as it is stored, byte for byte: a change of a single one of them must show.
    around = [_canonical(value) for value in (approval_id, at, str(kind), seq)]
    whole = b'{"approval_id":%b,"at":%b,"entry":%b,"kind":%b,"seq":%b}' % (
        *around[:2],
        text.encode(),
        *around[2:],
    )
    return hashlib.sha256(previous.encode() + b"\n" + whole).hexdigest()


def _canonical(data: Any) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def _entry(row: Row) -> LedgerEntry:
    return LedgerEntry(
        seq=row["seq"],
        at=row["at"],
        kind=row["kind"],
        approval_id=row["approval_id"],
        entry=_read(row["entry_json"]),
        previous=row["previous"],
        hash=row["hash"],
    )


def _read(text: str) -> dict[str, Any]:
    try:
        return dict(rows.load(text))
    except (orjson.JSONDecodeError, TypeError, ValueError):  # it was tampered with: show it
        return {"unreadable": text}
