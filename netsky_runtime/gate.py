"""Who may ask a daemon what: the owner everything, what threads have started only their tools."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.control.ancestry import Caller, Carrier, caller, listener
from netsky_runtime.db import engines, sessions
from netsky_runtime.errors import Refused
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.db.connection import Database, Reader
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home

OPEN: Final = frozenset({"status"})
"""What anybody may ask who can open the socket."""
TOKENED: Final = frozenset({"tools.list", "tools.call"})
"""What a token gives the right to ask."""
ENGINES: Final = 100
"""So many of the last engines are looked at, those that have ended among them."""
HINT: Final = (
    "Agents have netsky's tools and the file bus (`netsky channel send`). You yourself: use a "
    "terminal that no agent of this home has started."
)
_NAMES: Final = {
    RuntimeName.APP_SERVER: "the engine",
    RuntimeName.MCP_SERVER: "the mcp-server",
    RuntimeName.RESIDENT: "netsky's tmux",
}


class Gate:
    """Looks at each connection once, and at each request of it. Implements ``serving.Gate``."""

    def __init__(self, *, home: Home, database: Database, log: Log) -> None:
        self._home = home
        self._database = database
        self._log = log

    async def look(self, pid: int) -> Caller:
        """Tell who a process is."""
        return await look(pid, home=self._home, database=self._database)

    async def check(self, who: Caller, method: str, params: Mapping[str, Any]) -> None:
        """Raise ``Refused`` for what this caller may not ask."""
        if method in OPEN:
            return
        if method in TOKENED:
            await self._check_token(who, str(params.get("token", "")))
            return
        try:
            check_owner(who, method)
        except Refused as error:
            fields = {"pid": who.pid, "command": who.command, "reason": error.message}
            self._log("warning", "refused a caller", fields)
            raise

    async def _check_token(self, who: Caller, token: str) -> None:
        """Refuse a token in the hands of what another carrier has started: it was taken away."""
        if not who.carrier:
            return
        session = await self._database.read(lambda tx: sessions.by_token(tx, token))
        if session is None:
            return  # the verb says that it is over
        carriers = set(_NAMES.values())
        belongs = _NAMES.get(session.runtime, who.carrier)
        if who.carrier in carriers and who.carrier != belongs:
            fields = {"pid": who.pid, "command": who.command, "actor": session.actor_id}
            self._log("warning", "refused the token of another thread", fields)
            msg = f"This token is of a thread in {belongs}, and {who.carrier} has started you."
            raise Refused(msg)


async def look(pid: int, *, home: Home, database: Reader) -> Caller:
    """Tell whether a process comes from what carries threads of this home, or did."""
    # An engine that has ended too: what it had started lives on in its group and its session.
    found = await database.read(lambda tx: engines.latest(tx, limit=ENGINES))
    carriers = tuple(Carrier(each.pid, each.pid_started, _NAMES[each.runtime]) for each in found)
    return await asyncio.to_thread(_look, pid, carriers, home)


def _look(pid: int, carriers: tuple[Carrier, ...], home: Home) -> Caller:
    tmux = listener(home.tmux_socket, _NAMES[RuntimeName.RESIDENT])
    known = (*carriers, tmux) if tmux is not None else carriers
    return caller(pid, known, mark=home.mark)


def check_owner(who: Caller, what: str) -> None:
    """Raise ``Refused`` unless the caller can be the owner."""
    if not who.told:
        msg = f"{what} is the owner's, and netsky cannot tell who asks (process {who.pid})."
        raise Refused(msg, hint="Ask again, from the same machine or container as the daemon.")
    if who.carrier:
        msg = f"{what} is the owner's, and {who.carrier} has started process {who.pid}, who asks."
        raise Refused(msg, hint=HINT)


async def check_self(what: str, *, home: Home, database: Reader) -> None:
    """Raise ``Refused`` when this very process comes from what carries threads of this home.

    For what is done without a daemon. It binds only who goes through netsky's own programs.
    """
    check_owner(await look(os.getpid(), home=home, database=database), what)
