"""Copies of the database: taken while it is written to, verified before they count.

Everything here is synchronous and meant for a thread or a process of its own.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.db import faults, migrate
from netsky_runtime.errors import Conflict, DatabaseError, Unhealthy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NAMED: Final = re.compile(r"meta-(\d{8}T\d{6})Z(?:-(\d+))?\.db")
_TIME: Final = "%Y%m%dT%H%M%S"
_TABLES: Final = """
SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name
"""
_NEWEST: Final = """
SELECT max(coalesce((SELECT max(at) FROM (SELECT at FROM events ORDER BY seq DESC LIMIT 1)), 0),
    coalesce((SELECT max(created_at) FROM (
        SELECT created_at FROM messages ORDER BY seq DESC LIMIT 1)), 0))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A database that was looked through from end to end and found whole."""

    path: Path
    bytes: int
    schema: int
    epoch: int
    newest_at: int
    """When the last message or event in it happened, ms; 0 when there is none."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """How many there are, by table."""

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "schema": self.schema,
            "epoch": self.epoch,
            "newest_at": self.newest_at,
            "rows": dict(self.rows),
        }


def name(now: int) -> str:
    """Return the name of a copy that is taken at ``now`` (ms)."""
    return f"meta-{datetime.fromtimestamp(now / 1000, UTC).strftime(_TIME)}Z.db"


def kept(folder: Path) -> list[Path]:
    """Return the copies that netsky took and named, oldest first; others are never touched.

    Raises ``OSError`` for a folder that cannot be read, or is none.
    """
    try:
        found = [(_parse(path.name), path) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return [path for _, path in sorted((named, path) for named, path in found if named)]


def taken_at(path: Path) -> int:
    """Return when a copy that ``kept`` has found was taken, ms."""
    named = _parse(path.name)
    if named is None:
        msg = f"{path.name} is not the name of a backup"
        raise ValueError(msg)
    return named[0]


def _parse(name: str) -> tuple[int, int] | None:
    """Return when the copy of this name was taken, ms, and which of that second it is."""
    found = _NAMED.fullmatch(name)
    if found is None:
        return None
    try:
        taken = datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)
    except ValueError:  # digits that are no time: whoever named it so, netsky did not
        return None
    return round(taken.timestamp() * 1000), int(found[2] or 1)


def free_name(folder: Path, now: int) -> Path:
    """Return a path in ``folder`` that nothing has yet."""
    path = folder / name(now)
    number = 1
    while path.exists():
        number += 1
        path = folder / name(now).replace(".db", f"-{number}.db")
    return path


def prune(folder: Path, *, keep: int, now: int) -> list[Path]:
    """Delete all but the newest ``keep`` of netsky's own copies; return what was deleted.

    What was taken by a clock that was ahead of ``now`` (ms) counts as the oldest.
    """
    found = sorted(kept(folder), key=lambda path: taken_at(path) <= now)
    old = found[: -keep or None]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def take(source: Path, target: Path) -> Copy:
    """Copy the database as it is at one moment to ``target``, which appears whole or not at all.

    Whoever writes to it goes on. Raises ``Conflict`` when ``target`` exists, ``DatabaseError``
    when the copy cannot be made or is not whole, ``Unhealthy`` when the folder takes nothing.
    """
    # The source is not opened by hand, see ``faults.inspect``: this process may write to it.
    if target.exists():
        msg = f"{target} exists already."
        raise Conflict(msg, hint="Name another file, or none: each backup has a name of its own.")
    with _appearing(target) as unfinished:
        try:
            with closing(_open(source)) as connection:
                connection.execute("BEGIN")
                rows = _count(connection)  # and the snapshot that is copied begins here
                with closing(sqlite3.connect(unfinished)) as copy:
                    connection.backup(copy)
                    # One file by itself: no log is needed beside it, and none is made.
                    copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise faults.explain(target, error) from error
        found = verify(unfinished)
        if found.rows != rows:
            msg = f"The copy of {source} has other numbers of rows than the database."
            raise DatabaseError(msg, hint="Try again; `netsky doctor` looks at the disk.")
    return Copy(
        path=target,
        bytes=target.stat().st_size,
        schema=found.schema,
        epoch=found.epoch,
        newest_at=found.newest_at,
        rows=found.rows,
    )


def verify(path: Path) -> Copy:
    """Read the whole file: pages, indexes, references. Raises ``DatabaseError``."""
    faults.inspect(path)
    try:
        with closing(_open(path)) as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
            if problems != ["ok"]:
                msg = f"The database {path} is damaged: {'; '.join(problems)}."
                raise DatabaseError(msg, hint="Take another backup.")
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                msg = f"In {path} rows of {broken[0]} point at rows of {broken[2]} that are gone."
                raise DatabaseError(msg, hint="Take another backup.")
            schema = int(connection.execute("PRAGMA user_version").fetchone()[0])
            faults.check_version(path, schema, len(migrate.shipped()), migrates=True)
            epoch = connection.execute("SELECT epoch FROM daemon").fetchone()
            return Copy(
                path=path,
                bytes=path.stat().st_size,
                schema=schema,
                epoch=int(epoch[0]) if epoch else 0,
                newest_at=int(connection.execute(_NEWEST).fetchone()[0]),
                rows=_count(connection),
            )
    except sqlite3.Error as error:
        raise faults.explain(path, error) from error


def sync(path: Path) -> None:
    """Have the disk keep a file or a folder, by its own descriptor."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Give a private file beside ``target`` that takes its name at the end."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield unfinished
            sync(unfinished)
            unfinished.rename(target)
            sync(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        msg = f"The backup {target} cannot be written: {error.strerror or error}."
        raise Unhealthy(msg, hint="Name a file in a folder that is yours and has room.") from error


def _open(path: Path) -> sqlite3.Connection:
    timeout = migrate.BUSY_MS / 1000
    address = migrate.uri(path, mode="ro")
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=timeout)


def _count(connection: sqlite3.Connection) -> dict[str, int]:
    tables = [str(row[0]) for row in connection.execute(_TABLES)]
    count = "SELECT count(*) FROM "
    return {table: connection.execute(f'{count}"{table}"').fetchone()[0] for table in tables}
