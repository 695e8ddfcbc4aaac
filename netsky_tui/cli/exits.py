"""Exit statuses, and the one place where an error becomes words and a status."""

from __future__ import annotations

import json
import sys
from enum import IntEnum

from netsky_runtime.errors import NetskyError
from netsky_tui.cli.output import narrate


class Exit(IntEnum):
    """What a script sees in ``$?``."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_DAEMON = 4
    UNHEALTHY = 5
    TIMEOUT = 6


_BY_CODE = {
    "usage": Exit.USAGE,
    "not_found": Exit.NOT_FOUND,
    "no_daemon": Exit.NO_DAEMON,
    "unhealthy": Exit.UNHEALTHY,
    "fenced": Exit.UNHEALTHY,
    "timeout": Exit.TIMEOUT,
}


def status_of(error: NetskyError) -> Exit:
    """Return the exit status of an error; codes without one of their own have failed."""
    return _BY_CODE.get(error.code, Exit.FAILED)


def report(error: NetskyError, *, as_json: bool) -> Exit:
    """Say on stderr what happened and what to do, and return the exit status.

    With ``as_json`` it is one object: ``{"error": {"code", "message", "hint"}}``.
    """
    if as_json:
        body = {"code": error.code, "message": error.message, "hint": error.hint}
        sys.stderr.write(json.dumps({"error": body}) + "\n")
    else:
        narrate(f"error: {error.message}")
        if error.hint:
            narrate(f"hint: {error.hint}")
    return status_of(error)
