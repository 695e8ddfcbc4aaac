"""Running verbs: what an operator asks of a daemon, from the command line and from the room alike.

Each noun's verbs have a module of their own. Those that need only the database also work, under
the home's lock, when no daemon runs; see ``offline``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from netsky_runtime.control import protocol
from netsky_runtime.errors import DatabaseError, NoDaemon, NotFound

Verb = Callable[[Any], Awaitable[dict[str, Any]]]
Wake = Callable[[str], None]


class VerbTable:
    """Checks a request's shape and runs its verb."""

    def __init__(self, *tables: Mapping[str, Verb], offline: bool = False) -> None:
        self._verbs = {name: verb for table in tables for name, verb in table.items()}
        self._offline = offline

    async def __call__(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Run ``method``.

        Raises ``UsageError`` for parameters of the wrong shape, ``NotFound`` for an unknown
        method, ``NoDaemon`` for one that needs a running daemon, ``DatabaseError`` when the
        database fails, and what the verb raises.
        """
        verb = self._verbs.get(method)
        if verb is None and self._offline and method in protocol.REQUESTS:
            msg = "No daemon runs on this home."
            raise NoDaemon(msg, hint="Start one with `netsky`, or `netsky --no-tui`.")
        if verb is None:
            msg = f"There is no request {method!r}."
            raise NotFound(msg)
        try:
            return await verb(protocol.parse(method, params))
        except sqlite3.Error as error:
            msg = f"The database could not do it: {error}."
            raise DatabaseError(
                msg, hint="Nothing was stored. `netsky doctor` says more."
            ) from error
