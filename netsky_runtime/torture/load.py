"""What an operator does all day, at random and all at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.db import rows
from netsky_runtime.errors import DeadlineExceeded, NetskyError, NoDaemon, Unhealthy
from netsky_runtime.records import MANAGER0
from netsky_runtime.states import ApprovalStatus, DecisionWord, InputMode
from netsky_runtime.torture.points import Step

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.control.handle import Handle
    from netsky_runtime.db.connection import Reader, Tx
    from netsky_runtime.torture.accounts import Accounts

MOST_WORKERS: Final = 5
"""Workers that are kept: else every start would have more threads to bring back."""
MOST_WAITING: Final = 10
"""Inputs that may wait: more would only make the end longer."""
LOOK_SECONDS: Final = 0.03
_GONE = (NoDaemon, Unhealthy, DeadlineExceeded)
_WORDS = (DecisionWord.ACCEPT, DecisionWord.DECLINE)
_STATUS_OF = {
    DecisionWord.ACCEPT: ApprovalStatus.ACCEPTED,
    DecisionWord.DECLINE: ApprovalStatus.DECLINED,
}
_WAITING = "SELECT id FROM actor_inputs WHERE status IN ('queued', 'handed', 'seen')"
_PENDING = "SELECT id FROM approvals WHERE status = 'pending' ORDER BY number"
_PARKED = "SELECT id FROM actors WHERE status = 'parked'"
_WORKERS = "SELECT id FROM actors WHERE kind = 'worker' AND status <> 'stopped' ORDER BY id"
_IDLE_WORKERS = """
SELECT id FROM actors WHERE kind = 'worker' AND status <> 'stopped'
    AND NOT EXISTS (SELECT 1 FROM tasks WHERE owner_id = actors.id
        AND status IN ('open', 'blocked', 'in_progress'))
    AND NOT EXISTS (SELECT 1 FROM actor_inputs WHERE actor_id = actors.id
        AND status IN ('queued', 'handed', 'seen'))
ORDER BY id
"""
_REPORTED = "SELECT id FROM tasks WHERE status = 'reported' ORDER BY number"
_OPEN_TASKS = """
SELECT id FROM tasks WHERE closed_at IS NULL AND owner_id IS NOT NULL ORDER BY number
"""


class GoneError(Exception):
    """The daemon does not answer: it is dead, or has failed."""


@dataclass(slots=True)
class Operator:
    """Asks a daemon for things and writes down what it was told."""

    accounts: Accounts
    database: Reader
    clock: Clock
    dice: random.Random
    handle: Handle | None = None

    async def work(self, step: Step) -> None:
        """Do some of everything, and in any case what leads to ``step``, unless much waits yet.

        Raises ``GoneError``, as a group, when the daemon does not answer.
        """
        if len(await self._ids(_WAITING)) > MOST_WAITING:
            return
        usual = (self.say, self.steer, self.interrupt, self.to_worker, self.plan)
        deeds = [self.dice.choice(usual) for _ in range(3)]
        deeds += [self.start_worker, self.ask, self.ask if step is Step.APPROVING else self.say]
        self.dice.shuffle(deeds)
        async with asyncio.TaskGroup() as group:
            for deed in deeds:
                group.create_task(deed())
                await self.clock.sleep(self.dice.uniform(0, 0.02))

    async def say(self) -> None:
        """Say something short to manager0, or something that takes a moment."""
        slow = f"SLOW{self.dice.uniform(0.01, 0.15):.2f} " if self.dice.random() < 1 / 2 else ""
        await self._send(MANAGER0, f"{slow}SAY[heard {{}}]")

    async def steer(self) -> None:
        """Add to the turn that runs."""
        await self._send(MANAGER0, "SAY[steered {}]", InputMode.STEER)

    async def interrupt(self) -> None:
        """Stop the turn that runs, and say something else."""
        await self._send(MANAGER0, "SAY[instead {}]", InputMode.INTERRUPT)

    async def ask(self) -> None:
        """Make manager0 ask for an approval."""
        await self._send(MANAGER0, "ESC[mktemp {}.XXXXXX] SAY[asked {}]")

    async def start_worker(self) -> None:
        """Make manager0 start a worker, now and then one that waits for another."""
        if len(await self._ids(_WORKERS)) >= MOST_WORKERS:
            return await self.to_worker()
        tasks = await self._ids(_OPEN_TASKS)
        needs = f', "depends_on": ["{tasks[-1]}"]' if tasks and self.dice.random() < 1 / 2 else ""
        order = f'{{"title": "Work {{}}", "body": "SAY[worked {{}}]"{needs}}}'
        return await self._send(MANAGER0, f"TOOL[start_worker {order}]ENDTOOL SAY[started {{}}]")

    async def to_worker(self) -> None:
        """Say something to a worker, as the owner may."""
        workers = await self._ids(_WORKERS)
        if workers:
            await self._send(self.dice.choice(workers), "SAY[told {}]")

    async def plan(self) -> None:
        """Write down a task."""
        told = await self._call("tasks.add", {"title": f"Plan {self._name()}"})
        if told is not None:
            self.accounts.tasks.add(told["task_id"])

    async def chores(self) -> None:
        """Answer approvals, close what was reported, let idle workers go; never ends by itself."""
        while True:
            await self.tidy()
            await self.clock.sleep(LOOK_SECONDS)

    async def tidy(self) -> None:
        """Do what waits for the owner now."""
        for id_ in await self._ids(_PENDING):
            word = self.dice.choice(_WORDS)
            told = await self._call("approvals.decide", {"id": id_, "decision": word.value})
            if told is not None:
                self.accounts.decided[id_] = _STATUS_OF[word]
        for id_ in await self._ids(_REPORTED):
            await self._call("tasks.done", {"id": id_})
        for id_ in await self._ids(_PARKED):
            await self._call("actors.resume", {"actor_id": id_})
        idle = await self._ids(_IDLE_WORKERS)
        if len(idle) >= MOST_WORKERS - 2:
            await self._call("actors.stop", {"actor_id": idle[0]})

    def _name(self) -> str:
        return f"n{self.dice.getrandbits(40):010x}"

    async def _send(self, target: str, text: str, mode: InputMode = InputMode.QUEUE) -> None:
        words = self._name()
        params = {"target": target, "body": text.replace("{}", words), "mode": mode.value}
        self.accounts.unanswered.add(words)
        told = await self._call("send", params)
        self.accounts.unanswered.discard(words)
        if told is None:
            self.accounts.refused.add(words)
        else:
            self.accounts.sent[told["input_id"]] = words

    async def _call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer, ``None`` for a refusal. Raises ``GoneError``."""
        if self.handle is None:
            raise GoneError
        try:
            return await self.handle.call(method, params)
        except _GONE as error:
            raise GoneError from error
        except NetskyError as error:
            self.accounts.refusals[f"{method}: {type(error).__name__}"] += 1
            return None

    async def _ids(self, sql: str) -> Sequence[str]:
        async def body(tx: Tx) -> list[str]:
            return [row["id"] for row in await rows.many(tx, sql)]

        return await self.database.read(body)
