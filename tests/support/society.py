"""Actors with rows and no threads: turns are played by hand, so every one can be counted."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netsky_runtime.agents.batching import next_batch
from netsky_runtime.agents.launch import new_session
from netsky_runtime.codex.base import HistoricItem
from netsky_runtime.comms.envelope import Envelopes
from netsky_runtime.comms.replies import ReplyDesk
from netsky_runtime.db import actors, inputs, messages, posting, sessions, tasks, turns
from netsky_runtime.db.connection import Database, Tx
from netsky_runtime.records import MANAGER0, OWNER, Actor, ActorInput, Message, Task, Thread, Turn
from netsky_runtime.settings import Settings
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    InputMode,
    MessageKind,
    RuntimeName,
    Source,
    TaskStatus,
    TurnStatus,
)
from tests.support.fakes import CountingIds, ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

TAG = "k3v9x2mq"


@dataclass
class Turning:
    """A turn that runs: what it consumed and what was said in it."""

    turn: Turn
    inputs: list[ActorInput]
    items: list[HistoricItem]

    def say(self, text: str) -> None:
        item = HistoricItem(id=f"item{len(self.items)}", type="agent_message", data={"text": text})
        self.items.append(item)


class Society:
    """A database with actors, and the parts of a runner that move their inputs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock()
        self.ids = CountingIds()
        self.desk = ReplyDesk(ids=self.ids)
        self.turns = 0
        """How many turns were taken in all."""

    async def hire(
        self, actor_id: str, manager_id: str | None, *, cwd: str = "", lane: str = ""
    ) -> Actor:
        """Add an actor with a thread of the same name."""
        kind = ActorKind.WORKER if actor_id.startswith("worker") else ActorKind.MANAGER
        now = self.clock.now()
        actor = Actor(
            id=actor_id,
            kind=ActorKind.OWNER if actor_id == OWNER else kind,
            status=ActorStatus.ACTIVE,
            manager_id=manager_id,
            objective=lane,
            cwd=cwd,
            created_at=now,
            updated_at=now,
        )
        await self.database.write(lambda tx: actors.insert(tx, actor))
        return actor

    async def thread(self, actor_id: str) -> str:
        """Give an actor a session with a thread; return the thread's id."""
        actor = await self.actor(actor_id)

        async def body(tx: Tx) -> None:
            row = await sessions.current(tx, actor_id)
            if row is None:
                row = new_session(
                    replace(actor, cwd=actor.cwd or "/"),
                    Settings(),
                    runtime=RuntimeName.SCRIPTED,
                    ids=self.ids,
                    now=self.clock.now(),
                )
                await sessions.insert(tx, row)
            thread = Thread(
                id=f"thread-{actor_id}",
                actor_id=actor_id,
                session_id=row.id,
                runtime=row.runtime,
                created_at=self.clock.now(),
            )
            await sessions.insert_thread(tx, thread)

        await self.database.write(body)
        return f"thread-{actor_id}"

    async def actor(self, actor_id: str) -> Actor:
        return await self.database.read(lambda tx: actors.require(tx, actor_id))

    async def set_status(self, actor_id: str, status: ActorStatus) -> None:
        await self.database.write(
            lambda tx: actors.set_status(tx, actor_id, status, now=self.clock.now())
        )

    async def give(self, worker_id: str, manager_id: str) -> Task:
        """Put a new task in progress at a worker and post its text."""

        async def body(tx: Tx) -> Task:
            return await tasks.insert(
                tx,
                title="paint",
                status=TaskStatus.IN_PROGRESS,
                owner_id=worker_id,
                manager_id=manager_id,
                now=self.clock.now(),
            )

        task = await self.database.write(body)
        await self.post(manager_id, worker_id, kind=MessageKind.TASK, task_id=task.id)
        return task

    async def post(
        self,
        sender: str,
        target: str,
        body: str = "words",
        *,
        kind: MessageKind = MessageKind.TEXT,
        mode: InputMode = InputMode.QUEUE,
        task_id: str | None = None,
        turn: Turn | None = None,
    ) -> posting.Posted:
        draft = posting.Draft(
            source=Source.CLI if sender == OWNER else Source.ACTOR,
            kind=kind,
            sender=sender,
            target=target,
            body=body,
            mode=mode,
            task_id=task_id,
            thread_id=turn.thread_id if turn else "",
            turn_id=turn.id if turn else "",
        )
        return await self.database.write(
            lambda tx: posting.post(tx, draft, ids=self.ids, now=self.clock.now())
        )

    async def take(self, actor_id: str) -> Turning | None:
        """Begin the actor's next turn with what waits for it, if anything does."""
        waiting, found = await self._waiting(actor_id)
        batch = next_batch(waiting, found)
        if not batch:
            return None
        self.turns += 1
        turn = Turn(
            thread_id=f"thread-{actor_id}",
            id=f"turn{self.turns}",
            actor_id=actor_id,
            status=TurnStatus.IN_PROGRESS,
            started_at=self.clock.now(),
        )
        await self.database.write(lambda tx: turns.start(tx, turn))
        turning = Turning(turn=turn, inputs=[], items=[])
        await self._consume(turning, batch, found)
        return turning

    async def steer(self, turning: Turning) -> None:
        """Let the running turn consume the oldest input that waits."""
        waiting, found = await self._waiting(turning.turn.actor_id)
        await self._consume(turning, waiting[:1], found)

    async def end(
        self,
        turning: Turning,
        text: str | None = None,
        *,
        status: TurnStatus = TurnStatus.COMPLETED,
        error: str = "",
    ) -> frozenset[str]:
        """End the turn and settle it; return who is woken."""
        if text is not None:
            turning.say(text)
        turn = replace(turning.turn, status=status, error=error, completed_at=self.clock.now())
        return await self.settle(turning, turn)

    async def settle(self, turning: Turning, turn: Turn) -> frozenset[str]:
        """Settle what the turn consumed, the turn being as given; return who is woken."""
        actor = await self.actor(turn.actor_id)

        async def body(tx: Tx) -> frozenset[str]:
            found = {i.message_id: await messages.require(tx, i.message_id) for i in turning.inputs}
            return await self.desk.settle(
                tx,
                actor=actor,
                turn=turn,
                inputs=turning.inputs,
                messages=found,
                items=turning.items,
                now=self.clock.now(),
            )

        return await self.database.write(body)

    async def all_messages(self) -> list[Message]:
        recent = await self.database.read(lambda tx: messages.recent(tx, limit=1_000))
        return [message for _, message in recent]

    async def to(self, target: str) -> list[Message]:
        return [message for message in await self.all_messages() if message.target == target]

    async def task(self, task_id: str) -> Task:
        return await self.database.read(lambda tx: tasks.require(tx, task_id))

    async def input(self, posted: posting.Posted) -> ActorInput:
        assert posted.input is not None
        input_id = posted.input.id
        return await self.database.read(lambda tx: inputs.require(tx, input_id))

    async def open_inputs(self) -> int:
        async def body(tx: Tx) -> int:
            everyone = await actors.list_all(tx)
            return sum([len(await inputs.open_for(tx, actor.id)) for actor in everyone])

        return await self.database.read(body)

    async def _waiting(self, actor_id: str) -> tuple[Sequence[ActorInput], Mapping[str, Message]]:
        async def body(tx: Tx) -> tuple[Sequence[ActorInput], Mapping[str, Message]]:
            waiting = await inputs.waiting(tx, actor_id, self.clock.now())
            found = {i.message_id: await messages.require(tx, i.message_id) for i in waiting}
            return waiting, found

        return await self.database.read(body)

    async def _consume(
        self, turning: Turning, batch: Sequence[ActorInput], found: Mapping[str, Message]
    ) -> None:
        envelopes = Envelopes()
        texts = {i.id: envelopes.render(i, found[i.message_id], tag=TAG) for i in batch}
        batch_id = self.ids.new("b")
        now = self.clock.now()

        async def body(tx: Tx) -> tuple[ActorInput, ...]:
            await inputs.attempt(tx, texts, batch_id=batch_id, thread_id=turning.turn.thread_id)
            await inputs.hand(tx, list(texts), now=now)
            thread_id = turning.turn.thread_id
            await inputs.see(tx, list(texts), thread_id=thread_id, turn_id=turning.turn.id, now=now)
            return await inputs.by_ids(tx, list(texts))

        turning.inputs.extend(await self.database.write(body))
        text = envelopes.join(list(texts.values()))
        data = {"text": text, "client_id": batch_id}
        turning.items.append(HistoricItem(id=batch_id, type="user_message", data=data))


@asynccontextmanager
async def society(folder: Path) -> AsyncIterator[Society]:
    """Open a database with the owner, and manager0 working in ``folder``."""
    clock = ManualClock()
    database = await Database.open(folder / "meta.db", backups=folder, clock=clock)
    try:
        made = Society(database)
        await made.hire(OWNER, None)
        await made.hire(MANAGER0, OWNER, cwd=str(folder))
        yield made
    finally:
        await database.close()
