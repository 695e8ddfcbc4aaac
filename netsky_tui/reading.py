"""Reads the room's snapshots from the database; whatever has not changed is not read again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netsky_runtime import health
from netsky_runtime.attention.items import URGENCY
from netsky_runtime.codex.events import EventKind
from netsky_runtime.db import (
    actors,
    approvals,
    attention,
    budgets,
    counts,
    events,
    holds,
    inputs,
    messages,
    notes,
    rows,
    rules,
    rungs,
    tasks,
    trace,
    turns,
    usage,
    views,
)
from netsky_runtime.states import InputStatus
from netsky_tui.source import ActorFacts, ActorPast, Ask, MessageFacts, Snapshot, TaskFacts, Totals
from netsky_tui.words import APPROVAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.approval_records import Approval, Rule
    from netsky_runtime.attention.items import Urgency
    from netsky_runtime.budgets import Hold
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import ReadDatabase, Tx
    from netsky_runtime.db.trace import Trace
    from netsky_runtime.db.views import ActorView
    from netsky_runtime.fact_records import StoredEvent
    from netsky_runtime.records import ActorInput, Message, Note, Task
    from netsky_runtime.states import AttentionKind

_TASKS_STAMP = """
SELECT (SELECT count(*) FROM tasks), (SELECT max(updated_at) FROM tasks),
    (SELECT count(*) FROM task_dependencies)
"""
_INPUTS_OF = """
SELECT * FROM actor_inputs WHERE message_id IN (SELECT value FROM json_each(?)) ORDER BY seq
"""
_MESSAGES_OF_TASK = "SELECT * FROM messages WHERE task_id = ? ORDER BY seq DESC LIMIT 50"
_APPROVALS = _WAITING = 200
_RUNGS = 10


class DatabaseSource:
    """The spine, read-only, as the room wants it. Implements ``source.Source``."""

    def __init__(self, database: ReadDatabase, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tasks: tuple[TaskFacts, ...] = ()
        self._tasks_stamp: tuple[Any, ...] | None = None

    async def version(self) -> int:
        """Return a number that changes when somebody has written."""
        return await self._database.data_version()

    async def snapshot(self, ask: Ask) -> Snapshot:
        """Read everything ``ask`` names, in one transaction."""
        return await self._database.read(lambda tx: self._snapshot(tx, ask))

    async def _snapshot(self, tx: Tx, ask: Ask) -> Snapshot:
        now = self._clock.now()
        seen = await views.actor_views(tx)
        held = await holds.look(tx, now=now)
        said = await messages.recent(tx, limit=ask.messages)
        numbers = await counts.status_counts(tx, now=now)
        found = await self._all_tasks(tx, ask)
        return Snapshot(
            actors=tuple(_facts(view, held.waiting.get(view.actor.id)) for view in seen),
            tasks=found,
            messages=await _with_inputs(tx, said, held.waiting),
            gauges=held.gauges,
            hold=held.fleet,
            events=await _with_outcomes(
                tx, await events.recent(tx, ask.actor_id, limit=ask.events)
            ),
            events_of=ask.actor_id,
            approvals=await _approvals(tx, ask.approvals_known),
            attention=await attention.list_(tx, now=now, limit=_WAITING),
            totals=Totals(
                tasks=numbers.tasks,
                tasks_open=sum(not fact.task.status.closed for fact in found),
                messages=numbers.messages,
                unread=await messages.unread(tx),
                turns_running=numbers.turns_running,
                approvals_pending=numbers.approvals_pending,
                waiting=_by_urgency(numbers.waiting),
            ),
        )

    async def _all_tasks(self, tx: Tx, ask: Ask) -> tuple[TaskFacts, ...]:
        row = await rows.one(tx, _TASKS_STAMP)
        stamp = (*tuple(row or ()), ask.tasks)
        failed = await views.failed_reports(tx)
        if (stamp, failed) != self._tasks_stamp:
            unfinished = await views.open_tasks(tx, limit=ask.tasks)
            closed = await views.closed_tasks(tx, limit=ask.tasks)
            self._tasks = tuple(
                TaskFacts(task=view.task, unmet=view.unmet, failed=view.task.id in failed)
                for view in (*unfinished, *closed)
            )
            self._tasks_stamp = (stamp, failed)
        return self._tasks

    async def task(self, task_id: str) -> tuple[Task, Sequence[Note], Sequence[MessageFacts]]:
        """Read a task with its notes and messages. Raises ``NotFound``."""

        async def body(tx: Tx) -> tuple[Task, Sequence[Note], Sequence[MessageFacts]]:
            task = await tasks.require(tx, task_id)
            found = await rows.many(tx, _MESSAGES_OF_TASK, task_id)
            said = [(row["seq"], messages.row_to_message(row)) for row in reversed(found)]
            held = (await holds.look(tx, now=self._clock.now())).waiting
            said_so_far = await _with_inputs(tx, said, held)
            return task, await notes.list_(tx, task_id=task_id), said_so_far

        return await self._database.read(body)

    async def message(self, message_id: str, *, now: int) -> tuple[MessageFacts, Trace]:
        """Read a message and its way through netsky. Raises ``NotFound``."""

        async def body(tx: Tx) -> tuple[MessageFacts, Trace]:
            message = await messages.require(tx, message_id)
            held = (await holds.look(tx, now=now)).waiting
            (fact,) = await _with_inputs(tx, [(0, message)], held)
            return fact, await trace.trace(tx, message_id, now=now)

        return await self._database.read(body)

    async def actor(self, actor_id: str) -> tuple[ActorFacts, ActorPast]:
        """Read an actor and what was with it lately. Raises ``NotFound``."""

        async def body(tx: Tx) -> tuple[ActorFacts, ActorPast]:
            view = await views.actor_view(tx, actor_id)
            if view is None:
                raise actors.unknown(actor_id)
            now = self._clock.now()
            hold = (await holds.look(tx, now=now)).waiting.get(actor_id)
            latest = await turns.list_for_actor(tx, actor_id, 20)
            totals = await usage.of_actor(tx, actor_id)
            screen = ""
            if view.session is not None and view.session.blocked:
                told = await events.last_of_kind(tx, actor_id, EventKind.BLOCKED)
                screen = str(told.data.get("screen") or "") if told is not None else ""
            past = ActorPast(
                turns=latest,
                usage=totals[-1] if totals else None,
                gauges=await budgets.of_actor(tx, actor_id, now=now),
                screen=screen,
                rungs=await rungs.last_of(tx, actor_id, limit=_RUNGS),
            )
            return _facts(view, hold), past

        return await self._database.read(body)

    async def trace(self, asked: str, *, now: int) -> Trace:
        """Read the way of a message, from any id on it. Raises ``NotFound``."""
        return await self._database.read(lambda tx: trace.trace(tx, asked, now=now))

    async def approval(self, approval_id: str) -> Approval:
        """Read an approval, whatever became of it. Raises ``NotFound``."""
        return await self._database.read(lambda tx: approvals.require(tx, approval_id))

    async def rules(self) -> tuple[Rule, ...]:
        """Read the rules in force."""
        return await self._database.read(rules.list_)

    async def close(self) -> None:
        """Let go of the database."""
        await self._database.close()


def _facts(view: ActorView, hold: Hold | None) -> ActorFacts:
    return ActorFacts(
        actor=view.actor,
        health=health.of(view, hold),
        session=view.session,
        turn=view.turn,
        open_inputs=view.open_inputs,
        approvals=view.pending_approvals,
        hold=hold,
    )


async def _approvals(tx: Tx, known: Sequence[str]) -> tuple[Approval, ...]:
    pending = await approvals.pending(tx, limit=_APPROVALS)
    found = {approval.id: approval for approval in pending}
    for approval_id in known:
        if approval_id not in found:
            found[approval_id] = await approvals.require(tx, approval_id)
    return tuple(sorted(found.values(), key=lambda approval: (approval.created_at, approval.id)))


async def _with_outcomes(tx: Tx, found: Sequence[StoredEvent]) -> tuple[StoredEvent, ...]:
    """Let what tells that a question was answered say how and by whom: a rule answers unseen."""
    answered = [event for event in found if event.kind == EventKind.APPROVAL_RESOLVED]
    if not answered:
        return tuple(found)
    items = [event.item_id for event in answered if event.item_id]
    threads = rows.distinct([event.thread_id for event in answered])
    became = {
        (each.thread_id, each.item_id): f"{APPROVAL[each.status].word} by {each.decided_by}"
        for each in await approvals.about(tx, threads, items)
        if each.decided_by
    }
    return tuple(
        replace(event, data={**event.data, "outcome": outcome})
        if event.kind == EventKind.APPROVAL_RESOLVED
        and (outcome := became.get((event.thread_id, event.item_id)))
        else event
        for event in found
    )


def _by_urgency(waiting: Mapping[AttentionKind, int]) -> Mapping[Urgency, int]:
    found: dict[Urgency, int] = {}
    for kind, count in waiting.items():
        found[URGENCY[kind]] = found.get(URGENCY[kind], 0) + count
    return found


def _reason(found: ActorInput, held: Mapping[str, Hold]) -> str:
    if found.status is InputStatus.QUEUED and found.actor_id in held:
        return f"waiting: {held[found.actor_id].reason}"
    return found.reason


async def _with_inputs(
    tx: Tx, said: Sequence[tuple[int, Message]], held: Mapping[str, Hold]
) -> tuple[MessageFacts, ...]:
    ids = rows.words(message.id for _, message in said)
    by_message = {
        row["message_id"]: inputs.row_to_input(row) for row in await rows.many(tx, _INPUTS_OF, ids)
    }
    out = []
    for seq, message in said:
        found = by_message.get(message.id)
        if found is None:
            out.append(MessageFacts(seq=seq, message=message))
            continue
        out.append(
            MessageFacts(
                seq=seq,
                message=message,
                input_id=found.id,
                input_status=found.status,
                mode=found.mode,
                reason=_reason(found, held),
            )
        )
    return tuple(out)
