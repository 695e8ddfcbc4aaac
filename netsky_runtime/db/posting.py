"""The one way a message enters netsky: message, delivery and input in one transaction."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netsky_runtime.db import actors, inputs, messages
from netsky_runtime.errors import Conflict, UsageError
from netsky_runtime.records import (
    MAX_BODY_BYTES,
    OWNER,
    ActorInput,
    Delivery,
    Message,
)
from netsky_runtime.states import (
    ActorStatus,
    DeliveryStatus,
    Direction,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    Source,
    delivery_status,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.clock import Ids
    from netsky_runtime.db.rows import Tx

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_VISIBLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message before it has an id."""

    source: Source
    kind: MessageKind
    sender: str
    target: str
    """An actor's name, or ``owner``; whoever ``sink`` leads to when that is given."""
    body: str
    sink: str = ""
    """The way out of netsky, such as ``bus:agentci``: the delivery is pending until whoever
    carries it has."""
    mode: InputMode = InputMode.QUEUE
    in_reply_to: str | None = None
    """The message this answers; an open question to the owner is answered by it."""
    task_id: str | None = None
    thread_id: str = ""
    turn_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    recovers: tuple[str, ...] = ()
    """Inputs that this one answers for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of a draft; ``input`` is ``None`` where there is no thread to hear it."""

    message: Message
    delivery: Delivery
    input: ActorInput | None


async def post(tx: Tx, draft: Draft, *, ids: Ids, now: int) -> Posted:
    """Store a message and queue it for its actor, confirm it to the owner's room, or let it out.

    Control characters other than newline, tab and carriage return become U+FFFD. Raises
    ``UsageError`` for an empty or over-long body, ``NotFound`` for an unknown target or answered
    message, ``Conflict`` for a stopped target.
    """
    body = clean(draft.body)
    if not draft.sink:
        await check_target(tx, draft.target)
    if draft.in_reply_to is not None:
        await _answer(tx, draft.in_reply_to)
    message = _message(draft, body, message_id=ids.new("m"), now=now)
    await messages.insert(tx, message)
    queued = None
    sink, receipt = "room", DeliveryStatus.CONFIRMED
    if draft.sink:
        sink, receipt = draft.sink, DeliveryStatus.PENDING
    elif draft.target != OWNER:
        queued = ActorInput(
            id=ids.new("i"),
            actor_id=draft.target,
            message_id=message.id,
            mode=draft.mode,
            status=InputStatus.QUEUED,
            recovers=draft.recovers,
            created_at=now,
        )
        await inputs.insert(tx, queued)
        sink, receipt = f"actor:{draft.target}", delivery_status(queued.status)
    delivery = Delivery(
        id=ids.new("d"),
        message_id=message.id,
        sink=sink,
        input_id=None if queued is None else queued.id,
        status=receipt,
        created_at=now,
        updated_at=now,
    )
    await messages.insert_delivery(tx, delivery)
    return Posted(message=message, delivery=delivery, input=queued)


def clean(body: str) -> str:
    """Return the body as it is stored; raises ``UsageError`` when it is empty or too long."""
    if not body.strip():
        msg = "The message is empty."
        raise UsageError(msg, hint="Write something.")
    kept = _UNPRINTABLE.sub(_VISIBLE, body)
    size = len(kept.encode())
    if size > MAX_BODY_BYTES:
        msg = f"The message is too long: {size:,} bytes, the limit is {MAX_BODY_BYTES:,} (256 KiB)."
        raise UsageError(msg, hint="Put the text into a file and name the file.")
    return kept


async def check_target(tx: Tx, target: str) -> None:
    """Raise ``NotFound`` for an unknown actor, ``Conflict`` for one that is stopped."""
    if target == OWNER:
        return
    actor = await actors.require(tx, target)
    if actor.status is ActorStatus.STOPPED:
        msg = f"{target} is stopped and takes no messages."
        raise Conflict(msg, hint=f"`netsky actors resume {target}` brings it back.")


async def _answer(tx: Tx, message_id: str) -> None:
    """Close a question that waited for the owner; those to actors are answered by their turns."""
    answered = await messages.require(tx, message_id)
    if (
        answered.kind is MessageKind.QUESTION
        and answered.target == OWNER
        and answered.status is MessageStatus.ROUTED
    ):
        await messages.set_status(tx, message_id, MessageStatus.ANSWERED)


def _message(draft: Draft, body: str, *, message_id: str, now: int) -> Message:
    outwards = bool(draft.sink) or draft.target == OWNER
    waits = not outwards or draft.kind is MessageKind.QUESTION
    return Message(
        id=message_id,
        source=draft.source,
        direction=Direction.OUTBOUND if outwards else Direction.INBOUND,
        kind=draft.kind,
        sender=draft.sender,
        target=draft.target,
        body=body,
        status=MessageStatus.ROUTED if waits else MessageStatus.CLOSED,
        in_reply_to=draft.in_reply_to,
        task_id=draft.task_id,
        thread_id=draft.thread_id,
        turn_id=draft.turn_id,
        metadata=draft.metadata,
        created_at=now,
    )
