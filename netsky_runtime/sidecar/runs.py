"""One call of ``netsky codex``, from its brief to the reply on the bus."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from netsky_runtime.db import actors, bus_envelopes, inputs, messages, sessions
from netsky_runtime.errors import (
    Conflict,
    DaemonRunning,
    DeadlineExceeded,
    NetskyError,
    UsageError,
)
from netsky_runtime.sidecar.briefs import Briefs
from netsky_runtime.sidecar.ending import Endings
from netsky_runtime.sidecar.sessions import SidecarSessions
from netsky_runtime.states import ActorKind, ActorStatus, InputStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from netsky_runtime.agents.fleet import Fleet
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.comms.post_office import PostOffice
    from netsky_runtime.control import protocol
    from netsky_runtime.db.bus_envelopes import TakenEnvelope
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.records import Actor, ActorInput, Session
    from netsky_runtime.settings import Settings
    from netsky_runtime.sidecar.briefs import Brief
    from netsky_runtime.states import RuntimeName
    from netsky_runtime.supervise import Supervisor

LEFTOVER_SECONDS = 600.0
"""How long a turn that an earlier netsky did not see end may go on."""


class Sidecar:
    """Runs turns of sidecars on the daemon's fleet."""

    def __init__(
        self,
        *,
        root: Path,
        database: Database,
        fleet: Fleet,
        supervisor: Supervisor,
        office: PostOffice,
        settings: Settings,
        door: Callable[[], Awaitable[RuntimeName]],
        cwd: Path,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._supervisor = supervisor
        self._office = office
        self._clock = clock
        self._sessions = SidecarSessions(
            database=database,
            fleet=fleet,
            settings=settings,
            door=door,
            cwd=cwd,
            clock=clock,
            ids=ids,
        )
        self._briefs = Briefs(root=root, office=office, clock=clock, ids=ids)
        self._endings = Endings(
            database=database, fleet=fleet, begin_anew=self._sessions.begin_anew, clock=clock
        )
        self._busy: set[str] = set()

    async def run(self, request: protocol.RunCodex) -> dict[str, Any]:
        """Run one turn and return what came of it: see ``_outcome``.

        Raises ``UsageError``, ``NotFound`` when no envelope waits, ``Conflict`` when the actor is
        at work elsewhere, ``DaemonRunning`` in a netsky that was started for another's turn,
        ``DeadlineExceeded``, and ``NetskyError`` for a turn without an answer.
        """
        if (request.prompt is None) is not request.drain:
            msg = "Exactly one of --prompt and --drain is needed."
            raise UsageError(msg)
        actor_id = f"worker{request.number}"
        if not self._fleet.serves(actor_id):
            msg = "The netsky that runs is only there for one turn of somebody else."
            raise DaemonRunning(msg, hint="Call again when that has ended.")
        if actor_id in self._busy:
            msg = f"{actor_id} runs a turn of netsky codex already."
            raise Conflict(msg, hint="Call again when it has ended.")
        self._busy.add(actor_id)
        try:
            return await self._run(actor_id, request)
        finally:
            self._busy.discard(actor_id)

    async def finish_leftovers(self) -> None:
        """Begin to let turns that an earlier netsky did not see end do so.

        Each sidecar by itself: it is stopped when its turns have ended, or in any case after
        ``LEFTOVER_SECONDS``.
        """
        for actor in await self._database.read(actors.list_all):
            if _left_awake(actor):
                self._supervisor.spawn(f"leftovers of {actor.id}", self._finish_one(actor.id))

    async def _finish_one(self, actor_id: str) -> None:
        if actor_id in self._busy:
            return
        self._busy.add(actor_id)
        try:
            await self._finish(actor_id, seconds=LEFTOVER_SECONDS)
        finally:
            self._busy.discard(actor_id)

    async def _finish(self, actor_id: str, *, seconds: float) -> None:
        """See what a call that died has left to its end, and put its sidecar to rest."""
        until = self._clock.monotonic() + seconds
        for row in await self._database.read(lambda tx: inputs.open_for(tx, actor_id)):
            try:
                await self._endings.of(row, seconds=max(0.0, until - self._clock.monotonic()))
            except NetskyError as error:
                await self._endings.give_up(row, error.message)
        await self._office.answer()
        await self._rest(actor_id)

    async def _finish_earlier(self, actor_id: str, *, seconds: float) -> float:
        """Do so where it is needed, and return the seconds that are left."""
        actor = await self._database.read(lambda tx: actors.get(tx, actor_id))
        if not _left_awake(actor):
            return seconds
        began = self._clock.monotonic()
        await self._finish(actor_id, seconds=seconds)
        left = seconds - (self._clock.monotonic() - began)
        if left <= 0:
            msg = f"An earlier turn of {actor_id} took all of the {seconds:g} s."
            raise DeadlineExceeded(msg, hint="It was stopped: call again.")
        return left

    async def _run(self, actor_id: str, request: protocol.RunCodex) -> dict[str, Any]:
        seconds = await self._finish_earlier(actor_id, seconds=request.timeout)
        await self._database.read(lambda tx: self._sessions.check_free(tx, actor_id))
        if request.prompt is None:
            brief = await self._briefs.drained(actor_id)
        else:
            brief = self._briefs.written(actor_id, request.prompt)
        previous, row = await self._hand_over(actor_id, brief, request)
        try:
            ended = await self._endings.of(row, seconds=seconds)
            await self._office.answer()
            outcome = await self._outcome(actor_id, ended, previous)
        except NetskyError:
            await self._rest(actor_id)
            raise
        # Not when netsky stops meanwhile: the next one lets the turn end, then its sidecar.
        await self._rest(actor_id)
        return {**outcome, "poisoned": list(brief.poisoned)}

    async def _hand_over(
        self, actor_id: str, brief: Brief, request: protocol.RunCodex
    ) -> tuple[str, ActorInput]:
        """Give the sidecar its brief; return the thread it should go on in, and the input."""
        try:
            previous = await self._sessions.begin(
                actor_id, model=request.model, fresh=request.fresh
            )
        except (NetskyError, sqlite3.Error):
            await self._briefs.give_back(actor_id, brief)
            raise
        try:
            posted = await self._office.ledger.accept(
                actor_id, brief.envelope, file=brief.file, name=brief.name
            )
            if posted.input is None:
                msg = f"{actor_id} takes no input."
                raise Conflict(msg)
        except (NetskyError, sqlite3.Error):
            await self._briefs.give_back(actor_id, brief)
            await self._rest(actor_id)
            raise
        return previous, posted.input

    async def _rest(self, actor_id: str) -> None:
        """Stop the sidecar until it is called again, and answer what only that has ended."""
        await self._fleet.stop_actor(actor_id, unheard=True)
        await self._office.answer()

    async def _outcome(self, actor_id: str, ended: ActorInput, previous: str) -> dict[str, Any]:
        """Say what came of it.

        ``actor_id``, ``runtime``, ``thread_id``, ``previous_thread_id`` (a thread that was lost,
        else empty), ``reply`` and ``bytes`` of it. Raises what ``run`` does for a turn without
        an answer.
        """

        async def look(tx: Tx) -> tuple[Session | None, str, TakenEnvelope]:
            taken = await bus_envelopes.get(tx, ended.message_id)
            reply = await messages.get(tx, ended.reply_id) if ended.reply_id else None
            wordless = reply is None or reply.metadata.get("wordless", False)
            words = "" if reply is None or wordless else reply.body
            return await sessions.last(tx, actor_id), words, taken

        session, words, taken = await self._database.read(look)
        if ended.status is not InputStatus.ANSWERED:
            hint = f"{taken.sender} was told so, by the bus."
            if ended.status is InputStatus.UNCERTAIN and not taken.overdue:
                hint = f"{taken.sender} is told when that is decided: see `netsky inputs list`."
            if taken.overdue:
                raise DeadlineExceeded(taken.overdue, hint=hint)
            msg = f"{actor_id} did not answer: {ended.reason or words or ended.status}."
            raise NetskyError(msg, hint=hint)
        thread_id = session.thread_id if session else ""
        return {
            "actor_id": actor_id,
            "runtime": session.runtime.value if session else "",
            "thread_id": thread_id,
            "previous_thread_id": previous if previous != thread_id else "",
            "reply": words,
            "bytes": len(words.encode()),
        }


def _left_awake(actor: Actor | None) -> bool:
    """Whether an actor is a sidecar that nobody has put to rest."""
    return (
        actor is not None
        and actor.kind is ActorKind.SIDECAR
        and actor.status is not ActorStatus.STOPPED
    )
