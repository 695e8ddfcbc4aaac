"""Where a turn's final words go: up, to the owner or towards the owner, or back to the bus.

Never down: whatever a reply causes ends at the owner. What came by the bus is answered to its
sender, once, and an answer gets none. So nothing that ends a turn can feed itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from netsky_runtime.comms.bus.wording import reply_in
from netsky_runtime.comms.envelope import awaits_envelope, input_ids_in, tag_of
from netsky_runtime.db import inputs as input_rows
from netsky_runtime.db import lineage, posting, questions, tasks
from netsky_runtime.errors import Conflict
from netsky_runtime.records import MANAGER0, MAX_BODY_BYTES, OWNER, Actor, ActorInput, Message, Turn
from netsky_runtime.states import (
    ActorKind,
    InputStatus,
    MessageKind,
    Source,
    TaskStatus,
    TurnStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from netsky_runtime.clock import Ids
    from netsky_runtime.codex.base import HistoricItem
    from netsky_runtime.db.connection import Tx

NO_WORDS = "The turn ended without words."


class Addressee(StrEnum):
    """Who hears how a turn ended."""

    OWNER = "owner"
    """As a reply."""
    MANAGER = "manager"
    """The actor's own manager, as a report."""
    SENDER = "sender"
    """Whoever wrote to it by the file bus, as an envelope there."""


def addressee(actor: Actor, cause: Message) -> Addressee:
    """Say who hears the end of a turn of ``actor`` that ``cause`` caused: the whole table."""
    if awaits_envelope(cause):
        return Addressee.SENDER
    if cause.sender == OWNER and cause.kind is not MessageKind.TASK:
        return Addressee.OWNER
    return Addressee.OWNER if actor.id == MANAGER0 else Addressee.MANAGER


def words_for(
    actor_input: ActorInput, items: Sequence[HistoricItem], *, final_text: str = ""
) -> str:
    """Return what the turn said to an input; empty when it said nothing.

    That is the last agent message after the user message which carried the input and before
    the next user message, else the turn's last, else ``final_text``.
    """
    spoken = ""
    listening = False
    for item in items:
        if item.type == "user_message":
            if listening:
                break
            listening = _carries(item, actor_input)
        elif listening and item.type == "agent_message" and item.text.strip():
            spoken = item.text
    if spoken:
        return spoken
    said = (item.text for item in reversed(items) if item.type == "agent_message")
    return next((text for text in said if text.strip()), final_text.strip())


def _carries(item: HistoricItem, actor_input: ActorInput) -> bool:
    if item.client_id and item.client_id == actor_input.batch_id:
        return True
    return actor_input.id in input_ids_in(item.text, tag=tag_of(actor_input.envelope))


@dataclass(frozen=True, slots=True)
class _Parcel:
    """One message to be written, and the inputs it answers."""

    addressee: Addressee
    text: str
    inputs: tuple[ActorInput, ...]
    beside: bool = False
    """It only tells of the inputs: another message answers them."""


class ReplyDesk:
    """Settles the inputs of a turn that has ended and writes its replies and reports."""

    def __init__(self, *, ids: Ids) -> None:
        self._ids = ids

    async def settle(
        self,
        tx: Tx,
        *,
        actor: Actor,
        turn: Turn,
        inputs: Sequence[ActorInput],
        messages: Mapping[str, Message],
        items: Sequence[HistoricItem],
        now: int,
    ) -> frozenset[str]:
        """Settle ``inputs`` (with their ``messages`` by id) and return the actors to wake.

        A completed turn answers them, a failed one fails them and tells so, one that was
        stopped on purpose interrupts them and says nothing. Raises ``Conflict`` for a turn that
        runs or was cut by a crash.
        """
        if not inputs:
            return frozenset()  # a human in Codex's own TUI, or Codex itself: recorded only
        match turn.status:
            case TurnStatus.COMPLETED:
                status, reason = InputStatus.ANSWERED, ""
                parcels = _completed(actor, turn, inputs, messages, items)
            case TurnStatus.FAILED:
                status, reason = InputStatus.FAILED, turn.error
                parcels = _failed(actor, turn, inputs, messages)
            case TurnStatus.INTERRUPTED if turn.completed_at is not None:
                ids = [item.id for item in inputs]
                reason = "its turn was stopped on purpose"
                await input_rows.settle(tx, ids, InputStatus.INTERRUPTED, reason=reason, now=now)
                return frozenset()
            case _:
                msg = f"Turn {turn.id} of {actor.id} has not ended by itself or on purpose."
                raise Conflict(msg)
        question = await _open_question(tx, turn, messages.values())
        woken: set[str] = set()
        for parcel in parcels:
            if question is not None and _silenced(parcel, turn, messages):
                reply_id = question.id
            else:
                post = await self._post(tx, actor, turn, parcel, messages, now)
                reply_id = post.message.id
                woken |= {post.input.actor_id} if post.input else set()
            ids = [item.id for item in parcel.inputs]
            await input_rows.settle(tx, ids, status, reason=reason, reply_id=reply_id, now=now)
        if question is None and status is InputStatus.ANSWERED:
            woken |= await self._hand_back(tx, actor, turn, parcels, messages, now)
        return frozenset(woken)

    async def _hand_back(
        self,
        tx: Tx,
        actor: Actor,
        turn: Turn,
        parcels: Sequence[_Parcel],
        causes: Mapping[str, Message],
        now: int,
    ) -> frozenset[str]:
        """Report to the manager when others have stopped a worker's turn on its task and used it.

        Nothing else would: what the turn answered goes to them, and the task stayed in progress.
        """
        if actor.kind is not ActorKind.WORKER or any(
            parcel.addressee is Addressee.MANAGER for parcel in parcels
        ):
            return frozenset()
        held = [
            task.id
            for task in await tasks.of_owner(tx, actor.id)
            if task.status is TaskStatus.IN_PROGRESS
        ]
        if not held or await input_rows.open_for(tx, actor.id):
            return frozenset()
        said = "\n\n".join(parcel.text for parcel in parcels if parcel.text)
        text = (
            f"The turn on {', '.join(held)} was stopped, and {actor.id} was told something else. "
            f"To that it has answered:\n\n{said or NO_WORDS}"
        )
        told = _Parcel(Addressee.MANAGER, text, parcels[-1].inputs, beside=True)
        post = await self._post(tx, actor, turn, told, causes, now)
        return frozenset({post.input.actor_id} if post.input else ())

    async def refuse(
        self,
        tx: Tx,
        *,
        actor: Actor,
        inputs: Sequence[ActorInput],
        messages: Mapping[str, Message],
        reason: str,
        now: int,
    ) -> frozenset[str]:
        """Cancel inputs that Codex will never take, and tell so whoever would have had the reply.

        Returns the actors to wake.
        """
        why = f"Codex refused it: {reason}"
        turn = Turn(
            thread_id="",
            id="",
            actor_id=actor.id,
            status=TurnStatus.FAILED,
            started_at=now,
            error=why,
        )
        woken: set[str] = set()
        for parcel in _failed(actor, turn, inputs, messages):
            post = await self._post(tx, actor, turn, parcel, messages, now)
            woken |= {post.input.actor_id} if post.input else set()
            ids = [item.id for item in parcel.inputs]
            await input_rows.settle(
                tx, ids, InputStatus.CANCELLED, reason=why, reply_id=post.message.id, now=now
            )
        return frozenset(woken)

    async def _post(
        self,
        tx: Tx,
        actor: Actor,
        turn: Turn,
        parcel: _Parcel,
        causes: Mapping[str, Message],
        now: int,
    ) -> posting.Posted:
        answered = [causes[item.message_id] for item in parcel.inputs]
        task_id = next((cause.task_id for cause in answered if cause.task_id), None)
        metadata: dict[str, Any] = {
            "status": turn.status.value,
            "answers": [] if parcel.beside else [item.id for item in parcel.inputs],
            "source": answered[-1].source.value,
        }
        target, kind, sink, text = OWNER, MessageKind.REPLY, "", parcel.text
        if parcel.addressee is Addressee.SENDER:
            target = answered[-1].sender
            sink, text = f"bus:{target}", reply_in(parcel.text)
            metadata["wordless"] = not text
        if parcel.addressee is Addressee.MANAGER:
            kind = MessageKind.REPORT
            target = await lineage.nearest_active(tx, actor)
            if target != actor.manager_id:
                metadata["instead_of"] = actor.manager_id or ""
            if actor.kind is ActorKind.WORKER:
                task_id = await _reported(tx, actor, now) or task_id
        draft = posting.Draft(
            source=Source.ACTOR,
            kind=kind,
            sender=actor.id,
            target=target,
            body=_bounded(text or NO_WORDS),
            sink=sink,
            in_reply_to=answered[-1].id,
            task_id=task_id,
            thread_id=turn.thread_id,
            turn_id=turn.id,
            metadata=metadata,
        )
        return await posting.post(tx, draft, ids=self._ids, now=now)


def _completed(
    actor: Actor,
    turn: Turn,
    inputs: Sequence[ActorInput],
    causes: Mapping[str, Message],
    items: Sequence[HistoricItem],
) -> list[_Parcel]:
    """Sort replies by what was said to each input; reports are one, so a turn causes one turn."""
    replies: dict[str, list[ActorInput]] = {}
    reports: dict[str, list[ActorInput]] = {}
    parcels: list[_Parcel] = []
    for item in inputs:
        to = addressee(actor, causes[item.message_id])
        text = words_for(item, items, final_text=turn.final_text)
        if to is Addressee.SENDER:  # every envelope gets one of its own
            parcels.append(_Parcel(to, text, (item,)))
        else:
            (replies if to is Addressee.OWNER else reports).setdefault(text, []).append(item)
    parcels += [_Parcel(Addressee.OWNER, text, tuple(group)) for text, group in replies.items()]
    if reports:
        text = "\n\n".join(text for text in reports if text)
        members = tuple(item for group in reports.values() for item in group)
        parcels.append(_Parcel(Addressee.MANAGER, text, members))
    return parcels


def _failed(
    actor: Actor, turn: Turn, inputs: Sequence[ActorInput], causes: Mapping[str, Message]
) -> list[_Parcel]:
    what = "The turn failed" if turn.id else "The message was not taken"
    text = f"{what}: {turn.error.strip() or 'Codex gave no reason'}"
    groups: dict[tuple[Addressee, str], list[ActorInput]] = {}
    for item in inputs:
        to = addressee(actor, causes[item.message_id])
        groups.setdefault((to, item.id if to is Addressee.SENDER else ""), []).append(item)
    return [_Parcel(to, text, tuple(group)) for (to, _), group in groups.items()]


async def _open_question(tx: Tx, turn: Turn, causes: Iterable[Message]) -> Message | None:
    """Return a question that was asked in this turn and not answered before it ended."""
    heard = [(cause.sender, cause.id) for cause in causes]
    for asked in await questions.asked_in(tx, turn):
        # Ids sort as they were made, also within a millisecond.
        if not any(by == asked.target and later > asked.id for by, later in heard):
            return asked
    return None


def _silenced(parcel: _Parcel, turn: Turn, causes: Mapping[str, Message]) -> bool:
    """Whether an open question stands in for the message.

    The end of a turn that waits for an answer is no report. What the owner wrote is answered
    all the same when the turn had words, what came by the bus in any case, and a failure is
    always told.
    """
    if turn.status is TurnStatus.FAILED or parcel.addressee is Addressee.SENDER:
        return False
    from_owner = any(causes[item.message_id].sender == OWNER for item in parcel.inputs)
    return not (from_owner and parcel.text)


async def _reported(tx: Tx, worker: Actor, now: int) -> str | None:
    """Mark what the worker has in progress as reported; return the task's id."""
    held = await tasks.of_owner(tx, worker.id)
    current = [task for task in held if task.status is TaskStatus.IN_PROGRESS]
    for task in current:
        await tasks.set_status(tx, task.id, TaskStatus.REPORTED, now=now)
    return current[-1].id if current else None


def _bounded(text: str) -> str:
    """Cut what is longer than a message may be; the whole text stays in the turn's events."""
    if len(text.encode()) <= MAX_BODY_BYTES:
        return text
    note = "\n\n[cut here: the whole text is in the events of this turn]"
    room = MAX_BODY_BYTES - len(note.encode())
    return text.encode()[:room].decode(errors="ignore") + note
