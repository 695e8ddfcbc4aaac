"""The way of a message through netsky, from any id that lies on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.db import approvals, holds, inputs, messages, notes, rows, tasks, turns
from netsky_runtime.errors import NotFound
from netsky_runtime.states import InputStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.records import ActorInput, Delivery, Message, Note, Task, Turn

LIMIT: Final = 12
"""Messages of one trace, and approvals, calls, notes and answers of each: the latest."""

_STEPS = "SELECT * FROM input_steps WHERE input_id = ? ORDER BY seq"
_APPROVALS = """
SELECT id FROM approvals WHERE thread_id = ? AND turn_id = ? ORDER BY number DESC LIMIT ?
"""
_CALLS = """
SELECT tool, success, text, created_at FROM tool_calls WHERE thread_id = ? AND turn_id = ?
ORDER BY created_at DESC, call_id DESC LIMIT ?
"""
_TASKS = """
SELECT task_id FROM task_turns WHERE thread_id = ? AND turn_id = ? ORDER BY task_id LIMIT ?
"""
_TURNS = """
SELECT t.thread_id, t.turn_id FROM task_turns AS t
JOIN turns ON turns.thread_id = t.thread_id AND turns.id = t.turn_id
WHERE t.task_id = ? ORDER BY turns.started_at DESC LIMIT ?
"""
_FACTS = "SELECT count(*) FROM events WHERE thread_id = ? AND turn_id = ?"
_INPUTS_OF_MESSAGE = "SELECT id FROM actor_inputs WHERE message_id = ? ORDER BY seq"
_HEARD_IN_TURN = """
SELECT message_id FROM actor_inputs WHERE thread_id = ? AND turn_id = ? AND turn_id <> ''
ORDER BY seq LIMIT ?
"""
_HEARD_IN_THREAD = """
SELECT message_id FROM actor_inputs WHERE thread_id = ? AND thread_id <> ''
ORDER BY seq DESC LIMIT ?
"""
_SAID_IN_TURN = """
SELECT id FROM messages WHERE thread_id = ? AND turn_id = ? AND turn_id <> ''
ORDER BY seq DESC LIMIT ?
"""
_ANSWERS = "SELECT id FROM messages WHERE in_reply_to = ? ORDER BY seq DESC LIMIT ?"
_OF_TASK = "SELECT id FROM messages WHERE task_id = ? ORDER BY seq DESC LIMIT ?"
_RECOVERIES = """
SELECT id FROM actor_inputs WHERE actor_id = ? AND recovers_json <> '[]' AND EXISTS (
    SELECT 1 FROM json_each(recovers_json) WHERE value = ?) ORDER BY seq
"""
_DELIVERY = "SELECT message_id FROM deliveries WHERE id = ?"
_TURN = "SELECT thread_id, id FROM turns WHERE id = ? ORDER BY started_at DESC LIMIT 1"
_THREAD = "SELECT actor_id FROM threads WHERE id = ?"
_TASK = "SELECT 1 FROM tasks WHERE id = ?"
_NOTE = "SELECT task_id FROM notes WHERE id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of an input, in the order the database took them."""

    status: InputStatus
    batch_id: str
    """Of a queued input: what was about to be sent, stored before it was."""
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool that a turn has called."""

    tool: str
    success: bool
    text: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnTrace:
    """A turn with what was asked and called in it; ``turn`` is ``None`` when only its id is known.

    ``facts`` counts what is stored of it.
    """

    thread_id: str
    turn_id: str
    turn: Turn | None
    facts: int
    approvals: tuple[Approval, ...]
    calls: tuple[Call, ...]
    tasks: tuple[Task, ...]
    """What it has started or changed by its tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTrace:
    """An input, its steps, and the turn that consumed it."""

    input: ActorInput
    steps: tuple[Step, ...]
    turn: TurnTrace | None
    recovered_by: tuple[str, ...]
    """The inputs that went on with it after crashes."""
    waits: str
    """Why it is held in the queue, as far as there is a reason beside other work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTrace:
    """A task with its notes, and the turns that have started or changed it by their tools."""

    task: Task
    notes: tuple[Note, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One message from where it came from to what came of it."""

    message: Message
    causes: tuple[Message, ...]
    """What the turn had heard that spoke it."""
    deliveries: tuple[Delivery, ...]
    inputs: tuple[InputTrace, ...]
    task: TaskTrace | None
    answers: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What lies on the way that an id is on; ``kind`` says what the id names."""

    kind: str
    id: str
    actor_id: str
    """Of a thread; empty otherwise."""
    turn: TurnTrace | None
    """Of a turn, or of an approval's."""
    task: TaskTrace | None
    """Of a task, or of a note's."""
    chains: tuple[Chain, ...]
    more: bool
    """Whether there were more than ``LIMIT`` messages; the earlier ones of a task or a thread."""


async def trace(tx: Tx, asked: str, *, now: int) -> Trace:
    """Return the trace of a message, delivery, input, thread, turn, approval, task or note.

    What waits does so at ``now``.

    Raises ``NotFound`` for an id that names none of them.
    """
    if await messages.get(tx, asked) is not None:
        return await _of_messages(tx, now, "message", asked, [asked])
    if found := await rows.value(tx, _DELIVERY, asked):
        return await _of_messages(tx, now, "delivery", asked, [found])
    if (item := await inputs.get(tx, asked)) is not None:
        return await _of_messages(tx, now, "input", asked, [item.message_id])
    if (approval := await approvals.get(tx, asked)) is not None:
        return await _of_turn(tx, now, "approval", asked, approval.thread_id, approval.turn_id)
    if await rows.value(tx, _TASK, asked):
        return await _of_task(tx, now, "task", asked, asked)
    if (note := await rows.one(tx, _NOTE, asked)) is not None:
        return await _of_task(tx, now, "note", asked, note["task_id"])
    if (turn := await rows.one(tx, _TURN, asked)) is not None:
        return await _of_turn(tx, now, "turn", asked, turn["thread_id"], turn["id"])
    if (actor_id := await rows.value(tx, _THREAD, asked)) is not None:
        heard = await rows.many(tx, _HEARD_IN_THREAD, asked, LIMIT + 1)
        return await _of_messages(
            tx, now, "thread", asked, _column(reversed(heard)), actor_id=actor_id
        )
    msg = f"Nothing here has the id {asked!r}."
    hint = "A message, delivery, input, thread, turn, approval, task or note can be traced."
    raise NotFound(msg, hint=hint)


async def _of_messages(
    tx: Tx,
    now: int,
    kind: str,
    asked: str,
    ids: Sequence[str],
    *,
    actor_id: str = "",
    turn: TurnTrace | None = None,
    task: TaskTrace | None = None,
) -> Trace:
    wanted = rows.distinct(ids)
    return Trace(
        kind=kind,
        id=asked,
        actor_id=actor_id,
        turn=turn,
        task=task,
        chains=tuple([await _chain(tx, each, now=now) for each in wanted[-LIMIT:]]),
        more=len(wanted) > LIMIT,
    )


async def _of_turn(tx: Tx, now: int, kind: str, asked: str, thread_id: str, turn_id: str) -> Trace:
    heard = _column(await rows.many(tx, _HEARD_IN_TURN, thread_id, turn_id, LIMIT + 1))
    # Words that a human typed in Codex have no input: they are what was said in the turn.
    said = _column(reversed(await rows.many(tx, _SAID_IN_TURN, thread_id, turn_id, LIMIT + 1)))
    turn = await _turn(tx, thread_id, turn_id)
    return await _of_messages(tx, now, kind, asked, heard or said, turn=turn)


async def _of_task(tx: Tx, now: int, kind: str, asked: str, task_id: str | None) -> Trace:
    if task_id is None:
        return await _of_messages(tx, now, kind, asked, ())
    of_task = _column(reversed(await rows.many(tx, _OF_TASK, task_id, LIMIT + 1)))
    return await _of_messages(tx, now, kind, asked, of_task, task=await _task(tx, task_id))


async def _chain(tx: Tx, message_id: str, *, now: int) -> Chain:
    message = await messages.require(tx, message_id)
    causes = _column(await rows.many(tx, _HEARD_IN_TURN, message.thread_id, message.turn_id, LIMIT))
    traced = [
        await _input(tx, input_id, now=now)
        for input_id in _column(await rows.many(tx, _INPUTS_OF_MESSAGE, message_id))
    ]
    replies = [each.input.reply_id for each in traced if each.input.reply_id]
    answers = _column(reversed(await rows.many(tx, _ANSWERS, message_id, LIMIT)))
    said = [
        said_id
        for each in traced
        if each.turn is not None
        for said_id in _column(
            reversed(
                await rows.many(tx, _SAID_IN_TURN, each.turn.thread_id, each.turn.turn_id, LIMIT)
            )
        )
    ]
    return Chain(
        message=message,
        causes=await _messages(tx, [each for each in causes if each != message_id]),
        deliveries=await messages.deliveries_of(tx, message_id),
        inputs=tuple(traced),
        task=await _task(tx, message.task_id) if message.task_id else None,
        answers=await _messages(
            tx, [each for each in (*replies, *answers, *said) if each != message_id]
        ),
    )


async def _input(tx: Tx, input_id: str, *, now: int) -> InputTrace:
    item = await inputs.require(tx, input_id)
    steps = tuple(
        Step(
            status=InputStatus(row["status"]),
            batch_id=row["batch_id"],
            reason=row["reason"],
            at=row["at"],
        )
        for row in await rows.many(tx, _STEPS, input_id)
    )
    turn = await _turn(tx, item.thread_id, item.turn_id) if item.turn_id else None
    recoveries = await rows.many(tx, _RECOVERIES, item.actor_id, input_id)
    waits = ""
    if item.status is InputStatus.QUEUED:
        waits = (await holds.reasons(tx, now=now)).get(item.actor_id, "")
    return InputTrace(
        input=item,
        steps=steps,
        turn=turn,
        recovered_by=_column(recoveries),
        waits=waits,
    )


async def _turn(tx: Tx, thread_id: str, turn_id: str) -> TurnTrace:
    asked = _column(reversed(await rows.many(tx, _APPROVALS, thread_id, turn_id, LIMIT)))
    called = await rows.many(tx, _CALLS, thread_id, turn_id, LIMIT)
    touched = _column(await rows.many(tx, _TASKS, thread_id, turn_id, LIMIT))
    return TurnTrace(
        thread_id=thread_id,
        turn_id=turn_id,
        turn=await turns.get(tx, thread_id, turn_id),
        facts=int(await rows.value(tx, _FACTS, thread_id, turn_id)),
        approvals=tuple([await approvals.require(tx, each) for each in asked]),
        calls=tuple(
            Call(
                tool=row["tool"],
                success=bool(row["success"]),
                text=row["text"],
                created_at=row["created_at"],
            )
            for row in reversed(called)
        ),
        tasks=tuple([await tasks.require(tx, each) for each in touched]),
    )


async def _task(tx: Tx, task_id: str) -> TaskTrace:
    touched = [
        await turns.get(tx, row["thread_id"], row["turn_id"])
        for row in reversed(await rows.many(tx, _TURNS, task_id, LIMIT))
    ]
    return TaskTrace(
        task=await tasks.require(tx, task_id),
        notes=await notes.list_(tx, task_id=task_id, limit=LIMIT),
        turns=tuple(turn for turn in touched if turn is not None),
    )


async def _messages(tx: Tx, ids: Sequence[str]) -> tuple[Message, ...]:
    found = [await messages.require(tx, each) for each in rows.distinct(ids)]
    return tuple(sorted(found, key=lambda message: (message.created_at, message.id)))


def _column(found: Iterable[rows.Row]) -> tuple[str, ...]:
    return tuple(row[0] for row in found)
