"""Files and folders by their names in an opened folder; a symbolic link is never followed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from netsky_runtime.comms.bus.envelope import MAX_FILE_BYTES, BadEnvelope, too_large
from netsky_runtime.comms.bus.names import readable
from netsky_runtime.errors import NotFound, Unhealthy

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK a named pipe in an inbox would hold its reader for ever; without O_NOCTTY a
# terminal there would become the daemon's.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME = 200
"""Bytes of a name that leave room for what is put around it."""
_HIDDEN = re.compile(r"\..*\.tmp", re.DOTALL)
"""What is being written, or was when its writer died."""
_NOT_NOW = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE})
"""Errors that say nothing about what the file is."""


class Unreadable(Unhealthy):
    """The file is there, and cannot be read or taken now; it is left alone."""


def enter_root(path: Path, *, make: bool) -> int:
    """Open the folder that all others are entered from; it may be reached by a link.

    Raises ``FileNotFoundError``, ``Unhealthy``.
    """
    try:
        if make:
            path.mkdir(mode=0o700, exist_ok=True)
        return os.open(path, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise no_folder(path, error) from error


def enter(above: int, name: str, path: Path, *, make: bool) -> int:
    """Open the folder ``name``; ``path`` names it in errors, ``make`` creates one that is missing.

    Raises ``FileNotFoundError``, and ``Unhealthy`` for a symbolic link or no folder.
    """
    try:
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=above)
        folder = os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        raise
    except OSError as error:
        if exists(above, name) and stat.S_ISLNK(_status(above, name).st_mode):
            msg = f"{path} is a symbolic link, and the bus follows none."
            raise Unhealthy(msg, hint="Remove the link; netsky makes the folder itself.") from error
        raise no_folder(path, error) from error
    status = os.fstat(folder)
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        os.fchmod(folder, 0o700)  # another program has made it
    return folder


def changed_at(folder: int, name: str) -> float:
    """Return when a file was last moved or changed: seconds since the epoch."""
    return _status(folder, name).st_ctime


def names_in(folder: int) -> list[str]:
    """Return the names of all that lies in the folder."""
    with os.scandir(folder) as found:
        return [each.name for each in found]


def check_readable(folder: int, name: str) -> None:
    """Raise ``Unreadable`` for a file that this user may not read, or ``FileNotFoundError``."""
    try:
        os.close(os.open(name, _READ, dir_fd=folder))
    except OSError as error:
        if error.errno in _NOT_NOW:
            raise _unreadable(name, error) from error
        if isinstance(error, FileNotFoundError):
            raise


def content(folder: int, name: str) -> bytes:
    """Return what a file holds, unless it is larger than an envelope may be.

    Raises ``FileNotFoundError``, ``Unreadable``, and ``BadEnvelope`` for no plain file.
    """
    try:
        opened = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NOT_NOW:
            raise _unreadable(name, error) from error
        raise _no_file() from error
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise _no_file()
        if status.st_size > MAX_FILE_BYTES:
            raise too_large(status.st_size)
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(name, error) from error
    finally:
        os.close(opened)


def write(folder: int, name: str, data: bytes, *, attempt: int) -> None:
    """Write under a hidden name, then link: nobody ever sees half a file, or loses another's.

    Raises ``FileExistsError``, and ``Unhealthy`` for a disk that does not take it.
    """
    # Two may write the same file at once: neither may link what the other has half written.
    hidden = f".{name}.{attempt}-{secrets.token_hex(4)}.tmp"
    try:
        written = os.open(hidden, _CREATE, 0o600, dir_fd=folder)
        try:
            with os.fdopen(written, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(hidden, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(hidden, dir_fd=folder)
        os.fsync(folder)
    except FileExistsError:
        raise
    except OSError as error:
        msg = f"The file {name} cannot be written: {error.strerror}."
        raise Unhealthy(msg) from error


def move(source: int, name: str, target: int) -> str:
    """Move a file to another folder; return its name there, where nothing is overwritten.

    Raises ``FileNotFoundError``, and ``Unreadable`` for what cannot be moved.
    """
    free = _free_name(target, name)
    try:
        os.rename(name, free, src_dir_fd=source, dst_dir_fd=target)
    except FileNotFoundError:
        raise
    except OSError as error:  # a folder that this user may not write to, for example
        msg = f"The file {name!r} cannot be moved: {error.strerror}."
        raise Unreadable(msg) from error
    return free


def sweep(folder: int, *, before: float) -> None:
    """Remove what writers that died before then (seconds since the epoch) left half written."""
    for name in names_in(folder):
        with suppress(FileNotFoundError):
            if _HIDDEN.fullmatch(name) and changed_at(folder, name) < before:
                os.unlink(name, dir_fd=folder)


def prune(folder: int, *, before: float, most: int) -> None:
    """Remove all files but the newest ``most``, and what was moved there before that time."""
    aged = []
    for name in names_in(folder):
        with suppress(FileNotFoundError):
            aged.append((changed_at(folder, name), name))
    for number, (at, name) in enumerate(sorted(aged, reverse=True)):
        if number >= most or at < before:
            with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                os.unlink(name, dir_fd=folder)


def _free_name(folder: int, name: str) -> str:
    """Return the name, or one like it that is free and ends in the same way."""
    stem = readable(name).removesuffix(".json")
    while len(stem.encode()) > _LONGEST_NAME:
        stem = stem[:-1]
    free = f"{stem}.json"
    while exists(folder, free) or exists(folder, reason_name(free)):
        free = f"{stem}.{secrets.token_hex(4)}.json"  # some programs use one name all the time
    return free


def reason_name(name: str) -> str:
    """Return the name of the text that says why a file lies in poison."""
    return f"{name}.reason.txt"


def exists(folder: int, name: str) -> bool:
    """Whether there is anything of that name."""
    try:
        _status(folder, name)
    except FileNotFoundError:
        return False
    return True


def gone(name: str) -> NotFound:
    """Return the error of a file that somebody else has taken."""
    return NotFound(f"The file {name!r} is gone.")


def no_folder(path: Path, error: OSError) -> Unhealthy:
    """Return the error of a folder that nobody can work in."""
    msg = f"The folder {path} cannot be used: {error.strerror}."
    return Unhealthy(msg, hint="Move what is in its place out of the way.")


def _status(folder: int, name: str) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _no_file() -> BadEnvelope:
    return BadEnvelope("It is a symbolic link, or something else that is no plain file.")


def _unreadable(name: str, error: OSError) -> Unreadable:
    return Unreadable(f"The file {name!r} cannot be read: {error.strerror}.")
