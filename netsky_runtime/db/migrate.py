"""Making the database and bringing it up to date: numbered SQL files, ``PRAGMA user_version``.

Everything here is synchronous and meant for a thread; ``connection`` calls it there.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from netsky_runtime.db import faults, wal
from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BUSY_MS = 5_000
"""How long a statement waits for another process's lock."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number is the schema version it leads to."""

    number: int
    name: str
    sql: str


def shipped() -> tuple[Migration, ...]:
    """Return netsky's own steps, in order, numbered from 1 without a gap."""
    folder = resources.files("netsky_runtime.db").joinpath("migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=_name)
    steps = tuple(
        Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8")) for file in files
    )
    if [step.number for step in steps] != list(range(1, len(steps) + 1)):
        msg = f"migrations are not numbered one by one: {[step.name for step in steps]}"
        raise RuntimeError(msg)
    return steps


def _name(file: object) -> str:
    return str(getattr(file, "name", ""))


def statements(sql: str) -> Iterator[str]:
    """Split a script where SQLite itself says that a statement is complete."""
    pending = ""
    for line in sql.splitlines(keepends=True):
        if not pending and (not line.strip() or line.lstrip().startswith("--")):
            continue
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending.strip()
            pending = ""
    if pending.strip():
        msg = f"unfinished statement in a migration: {pending.strip()[:60]!r}"
        raise RuntimeError(msg)


def prepare(
    path: Path, *, backups: Path, now: int, migrations: Sequence[Migration] | None = None
) -> None:
    """Make the database at ``path``, or bring the one that is there up to date.

    A new file appears whole or not at all. An old one is copied to ``backups`` first; every
    step and its version number are one transaction. Raises ``DatabaseError`` and leaves the
    file as it was when that cannot be.
    """
    steps = shipped() if migrations is None else tuple(migrations)
    try:
        if path.exists():
            faults.inspect(path)
            wal.inspect(path)
            _upgrade(path, steps, backups=backups, now=now)
        else:
            _create(path, steps)
    except (sqlite3.Error, OSError) as error:
        raise faults.explain(path, error) from error


def _create(path: Path, steps: Sequence[Migration]) -> None:
    for leftover in (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")):
        if leftover.exists():
            msg = f"The database {path} is gone, but {leftover.name} is still there."
            hint = "Put the database back beside it, or move that file away to start anew."
            raise DatabaseError(msg, hint=hint)
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(_connect(unfinished)) as connection:
            # Nobody has it before it is whole, so it need not outlive a power cut in between.
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA application_id = {faults.APPLICATION_ID}")
            for step in steps:
                _apply(connection, step)
        _sync(unfinished)
        unfinished.rename(path)
        _sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _upgrade(path: Path, steps: Sequence[Migration], *, backups: Path, now: int) -> None:
    with closing(_connect(path)) as connection:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        faults.check_version(path, found, len(steps), migrates=True)
        if found < len(steps):
            copy = _back_up(connection, backups / f"{path.stem}-v{found}-{now}{path.suffix}")
            for step in steps[found:]:
                try:
                    _apply(connection, step)
                except sqlite3.Error as error:
                    msg = f"The database {path} could not be brought to schema {step.number}"
                    hint = (
                        f"It is as it was, and a copy is in {copy}. Go back to the netsky before."
                    )
                    raise DatabaseError(f"{msg} ({step.name}): {error}.", hint=hint) from error


def _back_up(connection: sqlite3.Connection, copy: Path) -> Path:
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(copy)) as target:
        connection.backup(target)
    _sync(copy)  # before anything of the original is changed
    _sync(copy.parent)
    return copy


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Looked at again under the lock: another process may have been here first.
        if int(connection.execute("PRAGMA user_version").fetchone()[0]) >= step.number:
            connection.rollback()
            return
        for statement in statements(step.sql):
            connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            msg = f"rows of {broken[0]} would point at rows of {broken[2]} that are not there"
            raise sqlite3.IntegrityError(msg)
        connection.execute(f"PRAGMA user_version = {step.number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    # Foreign keys stay off here, so that a step may rebuild a table others point at.
    return sqlite3.connect(
        uri(path, mode="rw"), uri=True, isolation_level=None, timeout=BUSY_MS / 1000
    )


def uri(path: Path, *, mode: str) -> str:
    """Return SQLite's address of the file; ``rw`` and ``ro`` never make one."""
    return f"{path.absolute().as_uri()}?mode={mode}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
