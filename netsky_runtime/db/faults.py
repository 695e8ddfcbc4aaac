"""What can be wrong with a database file, each as one sentence with what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x6E736B79
"""``nsky``: written into the file's header, so that no other program's file is taken for ours."""

_MAGIC = b"SQLite format 3\x00"
_ASIDE = "Move the file away to start anew, or `netsky restore` a copy from the backups folder."
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_FORBIDDEN = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_TROUBLE = (*_LOCKED, *_FORBIDDEN, *_DAMAGE, "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM")


def inspect(path: Path) -> None:
    """Look whether an existing file is a database of netsky's.

    Raises ``DatabaseError`` for a file that is missing, empty, cut off, or not netsky's.
    """
    # Only a file that SQLite refuses is opened by hand: closing any descriptor of a file drops
    # every lock this process has on it (POSIX), and without them the next program that opens
    # and closes the database deletes the log that the daemon writes to.
    if _recognised(path):
        return
    try:
        with path.open("rb") as file:
            header = file.read(100)
        size = path.stat().st_size
    except FileNotFoundError as error:
        msg = f"There is no database {path}."
        raise DatabaseError(msg, hint="Start netsky once: it makes one.") from error
    except OSError as error:
        msg = f"The database {path} cannot be read: {error.strerror or error}."
        raise DatabaseError(msg, hint="Check who owns the file and its folder.") from error
    if not header:
        msg = f"The database {path} is empty."
        raise DatabaseError(msg, hint=_ASIDE)
    if len(header) < 100 or not header.startswith(_MAGIC):
        msg = f"The file {path} is not a database, or its beginning is damaged."
        raise DatabaseError(msg, hint=_ASIDE)
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        msg = f"The database {path} belongs to another program, not to netsky."
        raise DatabaseError(msg, hint="Set NETSKY_HOME to a folder of its own, or move the file.")
    page = int.from_bytes(header[16:18], "big")
    expected = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
    # A log beside the file may hold pages that the file itself has not got yet.
    if size < expected and not _has_log(path):
        msg = f"The database {path} is cut off: {size} of {expected} bytes are left."
        raise DatabaseError(msg, hint=_ASIDE)


def _recognised(path: Path) -> bool:
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=0)) as connection:
            found = connection.execute("PRAGMA application_id").fetchone()[0]
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))  # it is told when it is opened
    return bool(found == APPLICATION_ID)


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def check_version(path: Path, found: int, known: int, *, migrates: bool) -> None:
    """Raise ``DatabaseError`` unless this netsky can work with schema version ``found``."""
    if found > known:
        msg = f"The database {path} is from a newer netsky: schema {found}, this one knows {known}."
        raise DatabaseError(msg, hint="Update netsky, or set NETSKY_HOME to another folder.")
    if found < known and not migrates:
        msg = f"The database {path} is from an older netsky: schema {found}, now {known}."
        raise DatabaseError(msg, hint="Start netsky once: it brings the database up to date.")


def is_trouble(error: sqlite3.Error) -> bool:
    """Whether the error is the disk's, the file's or another program's, not the statement's."""
    return getattr(error, "sqlite_errorname", "").startswith(_TROUBLE)


def stops_reading(error: sqlite3.Error) -> bool:
    """Whether it is trouble that a reading meets; one that tries to write is the caller's bug."""
    readonly = getattr(error, "sqlite_errorname", "").startswith("SQLITE_READONLY")
    return is_trouble(error) and not readonly


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken: no waiting mends it."""
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGE)


def explain(path: Path, error: sqlite3.Error | OSError) -> DatabaseError:
    """Return the one sentence for an error of SQLite or of the file system."""
    if isinstance(error, OSError):
        msg = f"The database {path} cannot be made: {error.strerror or error}."
        return DatabaseError(msg, hint="Check that its folder is yours, writable and not full.")
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(_LOCKED):
        msg = f"The database {path} is locked by another process."
        return DatabaseError(msg, hint="End the program that has it open, then try again.")
    if name.startswith(_FORBIDDEN):
        msg = f"The database {path} cannot be opened or written: {error}."
        return DatabaseError(msg, hint="Check that the file and its folder are yours and writable.")
    if name.startswith(_DAMAGE):
        msg = f"The database {path} is damaged: {error}."
        return DatabaseError(msg, hint=_ASIDE)
    if name.startswith("SQLITE_FULL"):
        msg = f"The disk of {path} is full."
        return DatabaseError(msg, hint="Make room, then try again.")
    if name.startswith("SQLITE_IOERR"):
        msg = f"The disk of {path} does not work: {error}."
        return DatabaseError(msg, hint="Look at the disk, its quota and its mount.")
    msg = f"The database {path} cannot be used: {error}."
    return DatabaseError(msg, hint="`netsky doctor` says more.")
