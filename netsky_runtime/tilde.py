"""Paths that a human has written."""

from __future__ import annotations

from pathlib import Path

from netsky_runtime.errors import UsageError


def expand(path: str | Path) -> Path:
    """Return the path with a ``~`` at its start replaced.

    Raises ``UsageError`` when it names no user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        msg = f"There is no home folder for the ~ of {path}."
        raise UsageError(msg, hint="Write the whole path.") from None
