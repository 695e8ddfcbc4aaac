"""Tool calls: done once and recorded with their effect, however often they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.agents import tools
from netsky_runtime.agents.authority import role_of
from netsky_runtime.agents.effects import Call, Effects, Outcome
from netsky_runtime.codex.base import ToolResult
from netsky_runtime.db import actors, sessions, tool_calls
from netsky_runtime.db.trouble import refusing
from netsky_runtime.errors import Conflict, NetskyError, NotFound, Refused, UsageError
from netsky_runtime.fact_records import ToolCall
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.agents.delegation import Delegation
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database, Tx

_REFUSALS = (UsageError, NotFound, Refused, Conflict)


class Toolbox:
    """Answers the tool calls of all threads."""

    def __init__(
        self,
        *,
        database: Database,
        delegation: Delegation,
        clock: Clock,
        ids: Ids,
        wake: Callable[[str], None],
    ) -> None:
        self._database = database
        self._effects = Effects(delegation=delegation, clock=clock, ids=ids)
        self._clock = clock
        self._wake = wake

    async def call(
        self,
        *,
        actor_id: str,
        thread_id: str,
        turn_id: str,
        call_id: str,
        tool: str,
        arguments: Mapping[str, Any],
    ) -> ToolResult:
        """Do what is asked and return what the model is told.

        Effect and record are one transaction; a call that is asked again, or twice at once, is
        answered from the record. A refusal is recorded too and leaves no effect. A caller who
        leaves in the middle takes nothing back: whom it has set to work is woken. Raises
        ``DatabaseError`` when nothing could be stored.
        """

        def record(text: str, *, success: bool) -> ToolCall:
            return ToolCall(
                thread_id=thread_id,
                turn_id=turn_id,
                call_id=call_id,
                actor_id=actor_id,
                tool=tool,
                arguments=arguments,
                success=success,
                text=text,
                created_at=self._clock.now(),
            )

        async def attempt(tx: Tx) -> tuple[ToolCall, frozenset[str]]:
            known = await tool_calls.get(tx, thread_id, turn_id, call_id)
            if known is not None:
                return known, frozenset()
            outcome = await self._apply(tx, actor_id, thread_id, turn_id, tool, arguments)
            done = record(outcome.text, success=True)
            await tool_calls.insert(tx, done)
            return done, outcome.wake

        async def refuse(tx: Tx, error: NetskyError) -> ToolCall:
            known = await tool_calls.get(tx, thread_id, turn_id, call_id)
            if known is not None:
                return known
            refused = record(_sentence(error), success=False)
            await tool_calls.insert(tx, refused)
            return refused

        def wake(done: tuple[ToolCall, frozenset[str]]) -> None:
            for woken in sorted(done[1]):
                self._wake(woken)

        with refusing():  # a model that is told can go on; one that waits holds its turn
            try:
                answer, _ = await self._database.write(attempt, then=wake)
            except _REFUSALS as error:
                refusal = error
                answer = await self._database.write(lambda tx: refuse(tx, refusal))
        return ToolResult(text=answer.text, success=answer.success)

    async def _apply(
        self,
        tx: Tx,
        actor_id: str,
        thread_id: str,
        turn_id: str,
        tool: str,
        arguments: Mapping[str, Any],
    ) -> Outcome:
        actor = await actors.require(tx, actor_id)
        thread = await sessions.get_thread(tx, thread_id)
        if thread is None or thread.actor_id != actor_id:
            msg = f"This thread does not speak for {actor_id}."
            raise Refused(msg)
        if actor.status is ActorStatus.STOPPED:
            msg = f"{actor_id} is stopped."
            raise Refused(msg, hint="End your turn.")
        checked = tools.parse(role_of(actor), tool, arguments)
        call = Call(actor=actor, thread_id=thread_id, turn_id=turn_id)
        return await self._effects.apply(tx, call, checked)


def _sentence(error: NetskyError) -> str:
    """Return the refusal with a hint that a model can follow: it has no command line."""
    if "`netsky " not in error.hint:
        return str(error)
    if isinstance(error, NotFound):
        return f"{error.message} list_tasks shows tasks and who works on them."
    return error.message
