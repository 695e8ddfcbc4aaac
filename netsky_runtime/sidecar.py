"""``netsky codex N``: one bounded turn of a worker that lives for one turn at a time.

Its brief comes by the bus or from the command line, its answer goes to agent0's inbox. Between
two calls the actor is stopped; the next one goes on with its last thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from netsky_runtime.agents.launch import new_session
from netsky_runtime.clock import iso
from netsky_runtime.comms.bus.addresses import AGENT0, bus_id_of
from netsky_runtime.comms.bus.envelope import BusEnvelope, check
from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, INBOX, Channel
from netsky_runtime.comms.bus.taking import Claim, claims
from netsky_runtime.db import actors, bus_envelopes, inputs, messages, sessions
from netsky_runtime.errors import Conflict, DeadlineExceeded, NetskyError, NotFound, UsageError
from netsky_runtime.records import (
    MANAGER0,
    Actor,
    ActorKind,
    ActorStatus,
    InputStatus,
    RuntimeName,
    Session,
    SessionState,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from netsky_runtime.agents.fleet import Fleet
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.comms.post_office import PostOffice
    from netsky_runtime.control import protocol
    from netsky_runtime.db.bus_envelopes import TakenEnvelope
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.db.posting import Posted
    from netsky_runtime.records import ActorInput
    from netsky_runtime.settings import Settings

T = TypeVar("T")

OBJECTIVE = "one turn at a time, by netsky codex"
GRACE_SECONDS = 10.0
"""How long a turn that was stopped for its deadline may take to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brief:
    """What the turn is about, and its file among the claimed if it has one."""

    envelope: BusEnvelope
    file: str = ""
    name: str = ""


class Sidecar:
    """Runs turns of sidecars on the daemon's fleet."""

    def __init__(
        self,
        *,
        root: Path,
        database: Database,
        fleet: Fleet,
        office: PostOffice,
        settings: Settings,
        door: Callable[[], Awaitable[RuntimeName]],
        cwd: Path,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._root = root
        self._database = database
        self._fleet = fleet
        self._office = office
        self._settings = settings
        self._door = door
        self._cwd = cwd
        self._clock = clock
        self._ids = ids
        self._busy: set[str] = set()
        self._changed: set[asyncio.Event] = set()
        database.on_commit(self._committed)

    async def run(self, request: protocol.RunCodex) -> dict[str, Any]:
        """Run one turn and return what came of it: see ``_outcome``.

        Raises ``UsageError``, ``NotFound`` when no envelope waits, ``Conflict`` when the actor is
        at work elsewhere, ``DeadlineExceeded``, and ``NetskyError`` for a turn without an answer.
        """
        if (request.prompt is None) is not request.drain:
            msg = "Exactly one of --prompt and --drain is needed."
            raise UsageError(msg)
        actor_id = f"worker{request.number}"
        if actor_id in self._busy:
            msg = f"{actor_id} runs a turn of netsky codex already."
            raise Conflict(msg, hint="Call again when it has ended.")
        self._busy.add(actor_id)
        try:
            return await self._run(actor_id, request)
        finally:
            self._busy.discard(actor_id)

    async def finish_leftovers(self) -> None:
        """Let turns that an earlier netsky did not see end do so, then stop their sidecars."""
        everyone = await self._database.read(actors.list_all)
        async with asyncio.TaskGroup() as group:
            for actor in everyone:
                if actor.kind is ActorKind.SIDECAR and actor.status is ActorStatus.ACTIVE:
                    group.create_task(self._finish(actor.id))

    async def _finish(self, actor_id: str) -> None:
        if actor_id in self._busy:
            return
        self._busy.add(actor_id)
        try:
            await self._until(lambda tx: _idle(tx, actor_id))
            await self._office.answer()
            await self._rest(actor_id)
        finally:
            self._busy.discard(actor_id)

    async def _run(self, actor_id: str, request: protocol.RunCodex) -> dict[str, Any]:
        await self._database.read(lambda tx: self._check_free(tx, actor_id))
        poisoned: list[dict[str, str]] = []
        if request.prompt is None:
            brief = await self._drain(actor_id, poisoned)
        else:
            brief = self._brief(actor_id, request.prompt)
        try:
            previous = await self._begin(actor_id, model=request.model, fresh=request.fresh)
            posted = await self._office.ledger.accept(
                actor_id, brief.envelope, file=brief.file, name=brief.name
            )
        except NetskyError:
            if brief.name:
                channel = Channel(self._root, actor_id)
                await asyncio.to_thread(channel.move, brief.name, CLAIMED, INBOX)
            raise
        try:
            ended = await self._ended(actor_id, posted, seconds=request.timeout)
            await self._office.answer()
            outcome = await self._outcome(actor_id, ended, previous)
        except NetskyError:
            await self._rest(actor_id)
            raise
        # Not when netsky stops meanwhile: the next one lets the turn end, then its sidecar.
        await self._rest(actor_id)
        return {**outcome, "poisoned": poisoned}

    async def _rest(self, actor_id: str) -> None:
        """Stop the sidecar until it is called again, and answer what only that has ended."""
        await self._fleet.stop_actor(actor_id)
        await self._office.answer()

    async def _check_free(self, tx: Tx, actor_id: str) -> None:
        """Raise ``Conflict`` unless the actor is a sidecar at rest, or nobody at all."""
        actor = await actors.get(tx, actor_id)
        if actor is None:
            return
        if actor_id in self._fleet.running():
            msg = f"A turn of {actor_id} is running."
            raise Conflict(msg, hint="Call again when it has ended.")
        if actor.kind is ActorKind.SIDECAR:
            return
        current = await sessions.current(tx, actor_id)
        if current is not None or actor.status is not ActorStatus.STOPPED:
            msg = f"{actor_id} is at work in a session of its own."
            hint = f"Write to it with `netsky send {actor_id}`, or choose another number."
            raise Conflict(msg, hint=hint)

    def _brief(self, actor_id: str, prompt: str) -> _Brief:
        envelope = BusEnvelope(
            sender=AGENT0,
            text=prompt,
            ts=iso(self._clock.now()),
            id=self._ids.new("e"),
            to=bus_id_of(actor_id),
            kind="brief",
        )
        check(envelope)
        return _Brief(envelope=envelope)

    async def _drain(self, actor_id: str, poisoned: list[dict[str, str]]) -> _Brief:
        """Claim the next envelope that has not been taken before."""
        channel = Channel(self._root, actor_id)

        def note(name: str, reason: str, **_where: bool) -> None:
            poisoned.append({"file": name, "reason": reason})

        def claim() -> Claim | None:
            return next(claims(channel, passed_over=note), None)

        while (found := await asyncio.to_thread(claim)) is not None:
            if not await self._office.ledger.knows(actor_id, found.envelope):
                return _Brief(envelope=found.envelope, file=found.file, name=found.name)
            await asyncio.to_thread(channel.move, found.name, CLAIMED, DELIVERED)
        told = "; ".join(f"{each['file']}: {each['reason']}" for each in poisoned)
        msg = f"No envelope waits for {bus_id_of(actor_id)}."
        raise NotFound(msg, hint=f"Passed over: {told}" if told else "")

    async def _begin(self, actor_id: str, *, model: str, fresh: bool) -> str:
        """Bring the sidecar to life on its last thread; return that thread's id, if any."""
        door = await self._door()
        now = self._clock.now()

        async def body(tx: Tx) -> str:
            await self._check_free(tx, actor_id)
            actor = await actors.get(tx, actor_id)
            before = None
            if actor is None:
                actor = self._newcomer(actor_id)
                await actors.insert(tx, actor)
            elif actor.kind is ActorKind.SIDECAR:
                before = await sessions.last(tx, actor_id)
            if before is not None and before.ended_at is None:  # a crash came between
                await sessions.end(tx, before.id, reason="taken over by netsky codex", now=now)
            await actors.set_kind(tx, actor_id, ActorKind.SIDECAR, now=now)
            await actors.set_status(tx, actor_id, ActorStatus.ACTIVE, now=now)
            row = new_session(
                actor,
                self._settings,
                runtime=door,
                ids=self._ids,
                now=now,
                model=model,
                sidecar=True,
            )
            if before is not None and before.thread_id and not fresh:
                row = _continued(row, before)
            await sessions.insert(tx, row)
            return row.thread_id

        return await self._database.write(body)

    def _newcomer(self, actor_id: str) -> Actor:
        now = self._clock.now()
        return Actor(
            id=actor_id,
            kind=ActorKind.SIDECAR,
            status=ActorStatus.ACTIVE,
            manager_id=MANAGER0,
            objective=OBJECTIVE,
            cwd=str(self._cwd),
            created_at=now,
            updated_at=now,
        )

    async def _ended(self, actor_id: str, posted: Posted, *, seconds: float) -> ActorInput:
        """Wait for the end of the turn, at most ``seconds``; stop it then, and wait once more."""
        if posted.input is None:
            msg = f"{actor_id} takes no input."
            raise Conflict(msg)
        input_id, message_id = posted.input.id, posted.message.id
        try:
            async with asyncio.timeout(seconds):
                return await self._settled(actor_id, input_id)
        except TimeoutError:
            pass
        reason = f"No answer within {seconds:g} s: the turn was stopped."
        await self._database.write(lambda tx: bus_envelopes.set_overdue(tx, message_id, reason))
        try:
            await self._fleet.interrupt(actor_id)
            async with asyncio.timeout(GRACE_SECONDS):
                return await self._settled(actor_id, input_id)
        except (Conflict, TimeoutError):
            return await self._give_up(actor_id, input_id, reason)

    async def _give_up(self, actor_id: str, input_id: str, reason: str) -> ActorInput:
        """Settle an input whose turn never began, or cannot be stopped."""
        await self._fleet.stop_actor(actor_id)

        async def body(tx: Tx) -> ActorInput:
            row = await inputs.require(tx, input_id)
            if row.status.open:
                await inputs.settle(
                    tx, [row.id], InputStatus.CANCELLED, reason=reason, now=self._clock.now()
                )
            return await inputs.require(tx, input_id)

        return await self._database.write(body)

    async def _settled(self, actor_id: str, input_id: str) -> ActorInput:
        """Wait until the input has ended; a thread that no door finds is given up for a new one."""

        async def look(tx: Tx) -> tuple[ActorInput, Actor] | None:
            row, actor = await inputs.require(tx, input_id), await actors.require(tx, actor_id)
            over = not row.status.open or actor.status is not ActorStatus.ACTIVE
            return (row, actor) if over else None

        while True:
            row, actor = await self._until(look)
            if not row.status.open:
                return row
            if not await self._began_anew(actor):
                msg = f"{actor_id} was {actor.status} before it could answer."
                raise NetskyError(msg, hint=actor.park_reason)

    async def _began_anew(self, actor: Actor) -> bool:
        """Give a parked sidecar a session without its lost thread; tell whether that helps."""
        now = self._clock.now()

        async def body(tx: Tx) -> bool:
            lost = await sessions.last(tx, actor.id)
            if lost is None or not lost.thread_id or lost.ended_at is None:
                return False
            if actor.status is not ActorStatus.PARKED or lost.previous_thread_id:
                return False
            row = replace(
                _continued(lost, lost),
                id=self._ids.new("s"),
                token=self._ids.token(),
                tag=self._ids.tag(),
                thread_id="",
                previous_thread_id=lost.thread_id,
                started_at=now,
            )
            await sessions.insert(tx, row)
            await actors.set_status(tx, actor.id, ActorStatus.ACTIVE, now=now)
            return True

        if not await self._database.write(body):
            return False
        self._fleet.wake(actor.id)
        return True

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

    async def _until(self, look: Callable[[Tx], Awaitable[T | None]]) -> T:
        """Look again after every commit until what is seen is true; return it."""
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while True:
                changed.clear()
                if seen := await self._database.read(look):
                    return seen
                await changed.wait()
        finally:
            self._changed.discard(changed)

    def _committed(self) -> None:
        for event in self._changed:
            event.set()


def _continued(row: Session, before: Session) -> Session:
    """Let a session go on with the thread of an earlier one, as that was told it would."""
    return replace(
        row,
        runtime=before.runtime,
        state=SessionState.STARTING,
        thread_id=before.thread_id,
        engine_id="",
        tag=before.tag,
        tools_door=before.tools_door,
        differences="",
        blocked="",
        blocked_at=None,
        ended_at=None,
        end_reason="",
    )


async def _idle(tx: Tx, actor_id: str) -> bool:
    return not await inputs.open_for(tx, actor_id)
