"""Any sequence of what can be done to inputs, approvals and tasks leaves the invariants true.

The functions are those that the daemon calls, on a real database; what a state forbids must be
refused and must change nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from netsky_runtime.comms.envelope import Envelopes
from netsky_runtime.db import (
    approval_ends,
    approvals,
    inputs,
    ledger,
    messages,
    posting,
    rows,
    sessions,
    turns,
)
from netsky_runtime.db.connection import Database, Tx
from netsky_runtime.errors import Conflict, NetskyError
from netsky_runtime.invariants.checking import look_at_rows
from netsky_runtime.records import MANAGER0, OWNER, Turn
from netsky_runtime.states import (
    ApprovalKind,
    ApprovalStatus,
    InputStatus,
    MessageKind,
    SessionState,
    Source,
    TaskStatus,
    TurnStatus,
)
from tests.db import making
from tests.support.fakes import CountingIds, ManualClock
from tests.support.office import Office
from tests.support.society import Society, society

T = TypeVar("T")
FEW = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
ACTORS = st.sampled_from([MANAGER0, "worker1"])


class Spine(RuleBasedStateMachine):
    """A database of its own for every run; after every step the checker looks at it."""

    live = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.clock = ManualClock()
        self.ids = CountingIds()
        self.database = self.run(self.begin())

    async def begin(self) -> Database:
        path = self.folder / "meta.db"
        database = await Database.open(path, backups=self.folder, clock=self.clock)
        self.stack.push_async_callback(database.close)
        await making.Making(database, self.ids, self.clock).first_actors()
        return database

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def write(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        self.run(self.clock.advance(0.001))
        return self.run(self.database.write(body))

    def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        return self.run(self.database.read(body))

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @invariant()
    def everything_holds(self) -> None:
        found = self.read(lambda tx: look_at_rows(tx, live=self.live))
        assert [each.sentence for each in found] == []


class Inputs(Spine):
    """Inputs and their deliveries, moved as a runner moves them, in any order."""

    made = Bundle("made")

    def change(self, input_id: str, to: InputStatus, body: Callable[[Tx], Awaitable[None]]) -> None:
        """Do it where the table of transitions allows it; else see it refused without a trace."""
        before = self.read(lambda tx: inputs.require(tx, input_id))
        try:
            self.write(body)
        except Conflict:
            assert before.status not in inputs.COMES_FROM[to]
            assert self.read(lambda tx: inputs.require(tx, input_id)) == before
        else:
            assert before.status in inputs.COMES_FROM[to]
            assert self.read(lambda tx: inputs.require(tx, input_id)).status is to

    def sent(self, input_id: str) -> bool:
        return self.read(lambda tx: inputs.require(tx, input_id)).attempts > 0

    @rule(target=made, actor=ACTORS, body=st.text(min_size=1).filter(str.strip))
    def post(self, actor: str, body: str) -> str:
        draft = making.draft(target=actor, body=body)
        posted = self.write(lambda tx: posting.post(tx, draft, ids=self.ids, now=self.clock.now()))
        assert posted.input is not None
        return posted.input.id

    @rule(input_id=made)
    def attempt(self, input_id: str) -> None:
        row = self.read(lambda tx: inputs.require(tx, input_id))
        message = self.read(lambda tx: messages.require(tx, row.message_id))
        text = {input_id: Envelopes().render(row, message, tag="tag00001")}
        batch_id = self.ids.new("b")

        async def body(tx: Tx) -> None:
            await inputs.attempt(tx, text, batch_id=batch_id, thread_id="th")

        try:
            self.write(body)
        except Conflict:
            assert row.status is not InputStatus.QUEUED
        else:
            assert row.status is InputStatus.QUEUED

    @rule(input_id=made)
    def hand(self, input_id: str) -> None:
        """Only what was about to be sent is handed: that is the caller's part."""
        row = self.read(lambda tx: inputs.require(tx, input_id))
        if row.batch_id or row.status is not InputStatus.QUEUED:
            now = self.clock.now()
            self.change(
                input_id, InputStatus.HANDED, lambda tx: inputs.hand(tx, [input_id], now=now)
            )

    @rule(input_id=made)
    def see(self, input_id: str) -> None:
        """Only what was sent once can be seen."""
        if not self.sent(input_id):
            return
        now = self.clock.now()
        self.change(
            input_id,
            InputStatus.SEEN,
            lambda tx: inputs.see(tx, [input_id], thread_id="th", turn_id="turn", now=now),
        )

    @rule(input_id=made)
    def answer(self, input_id: str) -> None:
        row = self.read(lambda tx: inputs.require(tx, input_id))
        now = self.clock.now()

        async def body(tx: Tx) -> None:
            draft = posting.Draft(
                source=Source.ACTOR,
                kind=MessageKind.REPLY,
                sender=row.actor_id,
                target=OWNER,
                body="done",
                metadata={"answers": [input_id]},
            )
            reply = await posting.post(tx, draft, ids=self.ids, now=now)
            await inputs.settle(
                tx, [input_id], InputStatus.ANSWERED, reply_id=reply.message.id, now=now
            )

        self.change(input_id, InputStatus.ANSWERED, body)

    @rule(
        input_id=made,
        end=st.sampled_from(sorted(inputs.SETTLED - {InputStatus.ANSWERED})),
    )
    def settle(self, input_id: str, end: InputStatus) -> None:
        now = self.clock.now()
        self.change(
            input_id, end, lambda tx: inputs.settle(tx, [input_id], end, reason="so", now=now)
        )

    @rule(input_id=made)
    def queue_again(self, input_id: str) -> None:
        self.change(
            input_id,
            InputStatus.QUEUED,
            lambda tx: inputs.requeue(tx, [input_id], reason="not consumed"),
        )

    @rule(target=made, first=made, second=made)
    def recover(self, first: str, second: str) -> Any:
        """Queue one recovery for two inputs, unless one is under way for either."""

        async def body(tx: Tx) -> str | None:
            found = await inputs.by_ids(tx, [first, second])
            actors = {row.actor_id for row in found}
            plain = not any(row.recovers for row in found)
            if len(actors) > 1 or not plain or await inputs.recovered_by(tx, [first, second]):
                return None
            draft = making.draft(
                source=Source.DAEMON,
                kind=MessageKind.RECOVERY,
                sender="netsky",
                target=actors.pop(),
                recovers=tuple(dict.fromkeys((first, second))),
            )
            posted = await posting.post(tx, draft, ids=self.ids, now=self.clock.now())
            return posted.input.id if posted.input else None

        made = self.write(body)
        return multiple() if made is None else made


class Approvals(Spine):
    """Questions of one actor, through ends of turns, of threads and of engines."""

    asked = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.engine = "engine-0"
        self.engines = 0
        self.turn = 0
        self.requests = 0
        row = making.session("s", MANAGER0, state=SessionState.LIVE, engine_id=self.engine)
        self.write(lambda tx: sessions.insert(tx, row))
        self.begin_turn()

    def begin_turn(self) -> None:
        self.turn += 1
        turn = Turn(
            thread_id="th",
            id=f"turn-{self.turn}",
            actor_id=MANAGER0,
            status=TurnStatus.IN_PROGRESS,
            started_at=1,
        )
        self.write(lambda tx: turns.start(tx, turn))

    @rule(target=asked, command=st.sampled_from(["ls", "rm -r x", ""]))
    def ask(self, command: str) -> str:
        self.requests += 1
        request, turn = str(self.requests), f"turn-{self.turn}"
        approval, new = self.write(
            lambda tx: approvals.store(
                tx,
                engine_id=self.engine,
                request_id=request,
                thread_id="th",
                turn_id=turn,
                item_id=request,
                actor_id=MANAGER0,
                kind=ApprovalKind.COMMAND,
                command=command,
                now=self.clock.now(),
            )
        )
        assert new
        return approval.id

    @rule(
        approval=asked,
        status=st.sampled_from([ApprovalStatus.ACCEPTED, ApprovalStatus.DECLINED]),
    )
    def decide(self, approval: str, status: ApprovalStatus) -> None:
        before = self.read(lambda tx: approvals.require(tx, approval))
        try:
            self.write(
                lambda tx: approvals.decide(
                    tx, approval, status=status, decided_by=OWNER, now=self.clock.now()
                )
            )
        except Conflict:
            assert before.status is not ApprovalStatus.PENDING
            assert self.read(lambda tx: approvals.require(tx, approval)) == before
        else:
            assert before.status is ApprovalStatus.PENDING

    @rule(approval=asked)
    def send(self, approval: str) -> None:
        """Only what was decided is sent, by what asked it."""
        row = self.read(lambda tx: approvals.require(tx, approval))
        if row.decided_by and row.status is not ApprovalStatus.LOST and self.here(row):
            self.write(lambda tx: approvals.sent(tx, approval, now=self.clock.now()))

    @rule(approval=asked)
    def take_back(self, approval: str) -> None:
        row = self.read(lambda tx: approvals.require(tx, approval))
        if self.here(row):
            self.write(
                lambda tx: approvals.reopen(tx, approval, why="no answer", now=self.clock.now())
            )

    def here(self, row: Any) -> bool:
        """Whether its turn still runs where it was asked."""
        return row.engine_id == self.engine and row.turn_id == f"turn-{self.turn}"

    @rule(approval=asked)
    def answered_elsewhere(self, approval: str) -> None:
        self.write(lambda tx: approval_ends.taken_elsewhere(tx, approval, now=self.clock.now()))

    @rule(number=st.integers(1, 10))
    def told_of_an_answer(self, number: int) -> None:
        self.write(
            lambda tx: approval_ends.resolved(tx, self.engine, str(number), now=self.clock.now())
        )

    @rule(
        end=st.sampled_from(
            [ApprovalStatus.RESOLVED_ELSEWHERE, ApprovalStatus.CANCELLED, ApprovalStatus.LOST]
        )
    )
    def turn_ends(self, end: ApprovalStatus) -> None:
        turn = f"turn-{self.turn}"

        async def body(tx: Tx) -> None:
            now = self.clock.now()
            await turns.complete(tx, "th", turn, status=TurnStatus.COMPLETED, completed_at=now)
            await approval_ends.turn_over(tx, thread_id="th", turn_id=turn, status=end, now=now)

        self.write(body)
        self.begin_turn()

    @rule()
    def engine_dies(self) -> None:
        old = self.engine
        self.engines += 1
        self.engine = f"engine-{self.engines}"

        async def body(tx: Tx) -> None:
            await approval_ends.lose_engine(tx, old, reason="it died", now=self.clock.now())
            await sessions.set_state(tx, "s", SessionState.LIVE, engine_id=self.engine)

        self.write(body)

    @rule()
    def thread_is_lost(self) -> None:
        self.write(
            lambda tx: approval_ends.lose_thread(tx, "th", reason="gone", now=self.clock.now())
        )

    @invariant()
    def the_ledger_is_whole(self) -> None:
        assert self.read(ledger.verify) is None


class Tasks(Spine):
    """Tasks with edges, workers, places and ends, as the verbs and tools change them."""

    live = True
    made = Bundle("made")

    async def begin(self) -> Database:
        self.people: Society = await self.stack.enter_async_context(society(self.folder))
        self.office = Office(self.people, self.folder)
        return self.people.database

    def attempt(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do it, or see it refused with nothing changed."""
        before = self.read(_everything)
        self.run(self.people.clock.advance(0.001))
        try:
            return self.run(work)
        except NetskyError:
            assert self.read(_everything) == before
            return None

    @initialize(target=made)
    def first_tasks(self) -> Any:
        """Nobody's, one that somebody works on, and one that waits for it."""
        plain = self.run(self.office.add())
        going = self.run(self.office.worker())
        waits = self.run(self.office.worker(depends_on=[going.task_id]))
        return multiple(plain.id, going.task_id, waits.task_id)

    @rule(target=made)
    def add(self) -> str:
        return self.run(self.office.add()).id

    @rule(target=made, needed=st.lists(made, max_size=2))
    def start(self, needed: list[str]) -> Any:
        started = self.attempt(self.office.worker(depends_on=needed))
        return multiple() if started is None else started.task_id

    @rule(task=made)
    def take(self, task: str) -> None:
        self.attempt(self.office.worker(task_id=task))

    @rule(task=made, on=made)
    def depend(self, task: str, on: str) -> None:
        self.attempt(self.office.depend(task, on))

    @rule(task=made, on=made)
    def undepend(self, task: str, on: str) -> None:
        self.attempt(self.office.undepend(task, on))

    @rule(task=made, status=st.sampled_from(TaskStatus))
    def set(self, task: str, status: TaskStatus) -> None:
        self.attempt(self.office.set(task, status))

    @rule(task=made)
    def done(self, task: str) -> None:
        self.attempt(self.office.set(task, TaskStatus.DONE))


async def _everything(tx: Tx) -> list[list[tuple[Any, ...]]]:
    found = []
    for table in ("tasks", "task_dependencies", "actors", "actor_inputs", "messages", "deliveries"):
        dump = await rows.many(tx, f"SELECT * FROM {table} ORDER BY 1, 2")
        found.append([tuple(row) for row in dump])
    return found


for machine in (Inputs, Approvals, Tasks):
    machine.TestCase.settings = FEW
TestInputs = Inputs.TestCase
TestApprovals = Approvals.TestCase
TestTasks = Tasks.TestCase
