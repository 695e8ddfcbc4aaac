"""The daemon's side of the tools door: whose call it is, and where it comes from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.agents import tools
from netsky_runtime.agents.authority import Role, role_of
from netsky_runtime.db import actors, sessions
from netsky_runtime.db.commits import Commits
from netsky_runtime.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.agents.kit import CallTool
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.records import Session
    from netsky_runtime.verbs import Verb

NAME_SECONDS: Final = 10.0
"""How long a call waits until netsky knows the thread it comes from: a thread of some doors is
heard of only after its first words, and its model may be quicker."""


class ToolVerbs:
    """Verbs of threads, not of the operator. A session's token says whose they are.

    ``turn_of`` returns the turn that an actor's thread runs, empty when it runs none.
    """

    def __init__(
        self, *, database: Database, call_tool: CallTool, turn_of: Callable[[str], str]
    ) -> None:
        self._database = database
        self._call_tool = call_tool
        self._turn_of = turn_of
        self._commits = Commits(database)

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {"tools.list": self.list_tools, "tools.call": self.call}

    async def list_tools(self, request: protocol.ToolsList) -> dict[str, Any]:
        """Return the tools that the session's actor has. Raises ``Refused``."""

        async def body(tx: Tx) -> Role:
            session = await _session(tx, request.token)
            return role_of(await actors.require(tx, session.actor_id))

        role = await self._database.read(body)
        return {
            "tools": [
                {"name": spec.name, "description": spec.description, "schema": spec.schema}
                for spec in tools.specs_for(role)
            ]
        }

    async def call(self, request: protocol.ToolsCall) -> dict[str, Any]:
        """Do what is asked for, once, and return what the model is told.

        Raises ``Refused`` for a token of no session, and ``DatabaseError``.
        """
        session, thread_id = await self._thread(request.token, request.thread_id)
        result = await self._call_tool(
            actor_id=session.actor_id,
            thread_id=thread_id,
            turn_id=request.turn_id or self._turn_of(session.actor_id),
            call_id=request.call_id,
            tool=request.tool,
            arguments=request.arguments,
        )
        return {"text": result.text, "success": result.success}

    async def _thread(self, token: str, told: str) -> tuple[Session, str]:
        """Return the session and the thread that calls, once that is known to be one.

        A thread that stays unknown is returned as it was told: the toolbox refuses it.
        """

        async def look(tx: Tx) -> tuple[Session, str]:
            session = await _session(tx, token)
            return session, told or session.thread_id

        async def known(tx: Tx) -> tuple[Session, str] | None:
            session, thread_id = await look(tx)
            found = await sessions.get_thread(tx, thread_id)
            return (session, thread_id) if found is not None else None

        try:
            async with asyncio.timeout(NAME_SECONDS):
                return await self._commits.until(known)
        except TimeoutError:
            return await self._database.read(look)


async def _session(tx: Tx, token: str) -> Session:
    session = await sessions.by_token(tx, token)
    if session is None:
        msg = "This thread's session with netsky is over: its tools do nothing any more."
        raise Refused(msg)
    return session
