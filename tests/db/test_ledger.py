"""The ledger: what is decided is written down, and what is done to it afterwards shows."""

from __future__ import annotations

import hashlib
import json

import pytest

from netsky_runtime.db import ledger, rows
from netsky_runtime.states import LedgerKind


async def write(making, count: int) -> None:
    async def body(tx):
        for number in range(1, count + 1):
            entry = {"by": "owner", "n": number, "text": 'é\n"q"'}
            await ledger.append(tx, LedgerKind.DECIDED, entry, approval_id=f"a{number}", now=number)

    await making.write(body)


async def do(making, sql: str, *params) -> None:
    await making.write(lambda tx: rows.many(tx, sql, *params))


async def broken(making):
    found = await making.read(ledger.verify)
    return None if found is None else found.seq


async def test_an_untouched_ledger_is_whole_and_a_long_one_is_looked_at_to_its_end(making):
    assert await broken(making) is None
    await write(making, 2500)
    assert await broken(making) is None
    head = await making.read(ledger.head)
    (last,) = await making.read(lambda tx: ledger.list_(tx, limit=1))
    assert (head.count, head.hash) == (2500, last.hash)
    await do(making, "UPDATE ledger SET at = at + 1 WHERE seq = 2400")  # pages further on
    assert await broken(making) == 2400


async def test_anybody_can_check_the_hashes_without_netsky(making):
    await write(making, 3)
    previous = "0" * 64
    for entry in await making.read(lambda tx: ledger.after(tx, None)):
        said = {
            "approval_id": entry.approval_id,
            "at": entry.at,
            "entry": dict(entry.entry),
            "kind": entry.kind,
            "seq": entry.seq,
        }
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert entry.previous == previous
        previous = hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()
        assert entry.hash == previous


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger SET at = at + 1 WHERE seq = 3",
        "UPDATE ledger SET kind = 'lost' WHERE seq = 3",
        "UPDATE ledger SET approval_id = 'a9' WHERE seq = 3",
        "UPDATE ledger SET entry_json = replace(entry_json, 'owner', 'rule') WHERE seq = 3",
        "UPDATE ledger SET entry_json = entry_json || ' ' WHERE seq = 3",
        "UPDATE ledger SET entry_json = 'not json' WHERE seq = 3",
        "UPDATE ledger SET hash = previous WHERE seq = 3",
        "UPDATE ledger SET previous = hash WHERE seq = 3",
    ],
)
async def test_a_changed_entry_is_the_first_broken_link(making, change):
    await write(making, 5)
    await do(making, change)
    assert await broken(making) == 3
    assert len(await making.read(lambda tx: ledger.list_(tx, limit=9))) == 5  # and can be read


async def test_a_deleted_entry_is_missed_where_it_was(making):
    await write(making, 5)
    await do(making, "DELETE FROM ledger WHERE seq = 3")
    found = await making.read(ledger.verify)
    assert (found.seq, found.why) == (4, "1 before it is missing")


async def test_the_gap_of_a_deleted_entry_cannot_be_closed(making):
    await write(making, 5)
    await do(making, "DELETE FROM ledger WHERE seq = 3")
    await do(making, "UPDATE ledger SET seq = seq - 1 WHERE seq = 4")
    await do(making, "UPDATE ledger SET seq = seq - 1 WHERE seq = 5")
    assert await broken(making) == 3


async def test_two_entries_that_changed_places_are_found(making):
    await write(making, 5)
    for old, new in ((2, 99), (3, 2), (99, 3)):
        await do(making, "UPDATE ledger SET seq = ? WHERE seq = ?", new, old)
    assert await broken(making) == 2


async def test_an_inserted_entry_is_found(making):
    await write(making, 5)
    for seq in (5, 4, 3):
        await do(making, "UPDATE ledger SET seq = seq + 1 WHERE seq = ?", seq)
    await do(
        making,
        "INSERT INTO ledger SELECT 3, at, kind, approval_id, entry_json, hash, ? FROM ledger "
        "WHERE seq = 2",
        "f" * 64,
    )
    assert await broken(making) == 3


@pytest.mark.parametrize("seq", [0, -1, -(2**63)])
async def test_an_entry_that_was_put_before_the_first_is_found(making, seq):
    await write(making, 3)
    copied = "SELECT ?, at, kind, 'a77', entry_json, previous, hash FROM ledger WHERE seq = 1"
    await do(making, f"INSERT INTO ledger {copied}", seq)
    assert await broken(making) == seq
    first, *_ = await making.read(lambda tx: ledger.after(tx, None))
    assert first.seq == seq  # an export shows it


async def test_an_end_that_was_cut_off_shows_only_beside_a_noted_one(making):
    await write(making, 5)
    noted = await making.read(ledger.head)
    await do(making, "DELETE FROM ledger WHERE seq > 3")
    assert await broken(making) is None
    assert await making.read(ledger.head) != noted


async def test_an_entry_is_not_there_without_what_it_tells_of(making):
    async def fails(tx):
        await ledger.append(tx, LedgerKind.DECIDED, {"by": "owner"}, now=1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await making.write(fails)
    assert (await making.read(ledger.head)).count == 0
