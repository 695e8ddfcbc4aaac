"""``netsky restore``: put a backup in the database's place, and let nothing in it be sent twice.

The threads went on after the backup was taken, so what it calls queued may have been sent and
answered since. It is therefore left as a crash in the middle of sending would leave it: the
thread's history is read first. Where the backup knows no thread to ask, or the input was sent in
another one since, it is uncertain, and a human decides. Nor is a rule in force again that was
revoked since, and the ledger tells what was set aside with its own end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from netsky_runtime import leftover
from netsky_runtime.clock import iso
from netsky_runtime.db import backup, daemon_row, faults, inputs, ledger, restoring, rules
from netsky_runtime.db.connection import Database, ReadDatabase
from netsky_runtime.errors import Conflict, DatabaseError, NotFound
from netsky_runtime.gate import check_self
from netsky_runtime.lock import held
from netsky_runtime.records import OWNER
from netsky_runtime.states import InputStatus, LedgerKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.approval_records import LedgerHead, Rule
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.backup import Copy
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home

_ENDS: Final = ("", "-wal", "-shm")
_WHAT: Final = "to restore"
UNKNOWN_EPOCHS: Final = 1_000
"""How much later than the backup's the epoch is when the present one cannot be read: later than
that of any daemon that may still believe it has the home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did."""

    copy: Copy
    before: Copy | None
    """The database that was there, if it could be read."""
    aside: Path | None
    """Where that one is now."""
    epoch: int
    asked: tuple[str, ...]
    """Inputs that are sent only after their thread's history was read."""
    uncertain: tuple[str, ...]
    """Inputs that a human decides on: the backup does not know the thread to ask."""


async def restore(home: Home, file: Path, *, clock: Clock) -> Restored:
    """Replace the home's database by a copy of ``file``; the present one is set aside whole.

    Raises ``DaemonRunning``, ``Conflict`` when Codex works on without netsky, ``Refused`` for an
    agent, ``NotFound``, and ``DatabaseError`` when the file is not whole. Nothing has changed then.
    """
    if not await asyncio.to_thread(file.is_file):
        msg = f"There is no file {file}."
        found = []
        with suppress(OSError):  # no folder, or not readable
            found = backup.kept(home.backups)
        hint = f"The newest backup is {found[-1]}." if found else "No backup was taken yet."
        raise NotFound(msg, hint=hint)
    home.prepare()
    async with held(home.lock, clock=clock, brief=True):
        present = await _present(home)
        await _nothing_works(home)
        fresh = home.root / "restoring.db"
        _clear(fresh)
        try:
            copy = await asyncio.to_thread(_take, file, fresh)
            before = await asyncio.to_thread(_look, home.database)
            now = clock.now()
            database = await Database.open(fresh, backups=home.backups, clock=clock)
            try:
                if present is None:  # nothing else knows what carried threads here
                    await check_self(_WHAT, home=home, database=database)
                known = copy.epoch + UNKNOWN_EPOCHS if before is None else before.epoch
                above = max(known, copy.epoch)
                epoch, asked, uncertain = await database.write(
                    lambda tx: _mark(tx, above=above, copy=copy, present=present, now=now)
                )
            finally:
                await database.close()
            aside = await asyncio.to_thread(_swap, home, fresh, now)
        finally:
            _clear(fresh)
    return Restored(
        copy=replace(copy, path=file),
        before=before,
        aside=aside,
        epoch=epoch,
        asked=asked,
        uncertain=uncertain,
    )


def _take(file: Path, fresh: Path) -> backup.Copy:
    """Copy a backup that is whole; raises ``DatabaseError`` for one that is not."""
    try:
        faults.inspect(file)
        return backup.take(file, fresh)
    except DatabaseError as error:
        msg = f"{file} cannot be restored. {error.message.replace(str(fresh), 'Its copy')}"
        raise DatabaseError(msg, hint="Nothing has changed. Name another backup.") from error


@dataclass(frozen=True, slots=True)
class _Present:
    """What has to be known of the database that is set aside."""

    head: LedgerHead
    in_force: frozenset[Rule]
    sent_in: Mapping[str, str]
    """Input to thread."""


async def _present(home: Home) -> _Present | None:
    """Read the database that is there; ``None`` where it cannot be. Raises ``Refused``."""
    try:
        database = await ReadDatabase.open(home.database)
    except DatabaseError:
        return None
    try:
        await check_self(_WHAT, home=home, database=database)
        return await database.read(_known)
    except sqlite3.Error:
        return None  # damaged further in
    finally:
        await database.close()


async def _known(tx: Tx) -> _Present:
    return _Present(
        await ledger.head(tx), frozenset(await rules.list_(tx)), await restoring.sent_in(tx)
    )


async def _mark(
    tx: Tx, *, above: int, copy: Copy, present: _Present | None, now: int
) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    epoch = await daemon_row.raise_epoch(tx, above=above, pid=os.getpid(), now=now)
    taken = iso(copy.newest_at) if copy.newest_at else "an empty home"
    asked = await restoring.as_if_sent(
        tx, reason=f"restored from a backup of {taken}: its thread's history is read first"
    )
    unknown = await restoring.without_thread(tx)
    reason = f"restored from a backup of {taken}, which knows no thread that could tell"
    await inputs.settle(tx, unknown, InputStatus.UNCERTAIN, reason=reason, now=now)
    sent_in = {} if present is None else present.sent_in
    elsewhere = tuple(id_ for id_, thread in asked.items() if sent_in.get(id_, thread) != thread)
    for id_ in elsewhere:
        reason = f"restored from a backup of {taken}; it was sent since, in thread {sent_in[id_]}"
        await inputs.settle(tx, [id_], InputStatus.UNCERTAIN, reason=reason, now=now)
    told: dict[str, object] = {"by": OWNER, "why": f"back to a backup of {taken}", "aside": None}
    if present is not None:
        told["aside"] = {"count": present.head.count, "hash": present.head.hash}
    await ledger.append(tx, LedgerKind.RESTORED, told, now=now)
    if present is not None:
        for rule in await rules.list_(tx):
            if rule not in present.in_force:
                await rules.revoke(tx, rule.id, by="restore", now=now)
    return epoch, tuple(id_ for id_ in asked if id_ not in elsewhere), (*unknown, *elsewhere)


def _look(path: Path) -> Copy | None:
    try:
        return backup.verify(path)
    except DatabaseError:
        return None  # damaged, or not there: that is why somebody restores


async def _nothing_works(home: Home) -> None:
    """Refuse while Codex works on: what it is and does is known to the present database alone."""
    engine = await asyncio.to_thread(leftover.listens, home.engine_socket)
    residents = await asyncio.to_thread(leftover.residents, home)
    working = [
        name for name, there in (("The engine", engine), ("Codex in tmux", residents)) if there
    ]
    if working:
        msg = f"{' and '.join(working)} works on without netsky."
        raise Conflict(msg, hint="`netsky stop` ends what works on; then restore.")


def _swap(home: Home, fresh: Path, now: int) -> Path | None:
    """Set the present database aside with its log, and let the fresh one take its place.

    At every moment the home has one whole database or none with this name, and the log of one
    is never found beside the other.
    """
    present = [home.database.with_name(home.database.name + end) for end in _ENDS]
    aside = None
    if present[0].exists():
        stem = backup.name(now).removesuffix(".db").replace("meta-", "replaced-")
        aside = home.backups / f"{stem}.db"
        _keep(present[0], aside)
        if present[1].exists() and present[1].stat().st_size:
            _keep(present[1], aside.with_name(aside.name + "-wal"))
        backup.sync(home.backups)
    for path in present[1:]:
        path.unlink(missing_ok=True)
    fresh.replace(home.database)
    backup.sync(home.root)
    return aside


def _keep(path: Path, aside: Path) -> None:
    with suppress(OSError):  # a file system without hard links
        os.link(path, aside)
        return
    shutil.copy2(path, aside)
    backup.sync(aside)


def _clear(path: Path) -> None:
    for end in (*_ENDS, "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
