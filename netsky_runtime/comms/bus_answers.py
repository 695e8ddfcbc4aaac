"""What the daemon writes to the bus: the one answer to an envelope, and its acknowledgement.

Names and ids are made from what is answered, so that a second attempt after a crash writes
nothing new.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from netsky_runtime.clock import iso
from netsky_runtime.comms.bus.addresses import bus_id_of
from netsky_runtime.comms.bus.envelope import ACK, CANCEL, ERROR, REPLY, BusEnvelope, carried, dump
from netsky_runtime.comms.bus.folders import Channel
from netsky_runtime.comms.bus.names import settled_name
from netsky_runtime.states import InputStatus

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.db.bus_envelopes import TakenEnvelope
    from netsky_runtime.records import ActorInput, Message


def key_of(envelope: BusEnvelope) -> str:
    """Return what all copies of an envelope share, and no other envelope of its sender has."""
    if envelope.idempotency_key:
        return f"key {envelope.sender} {envelope.idempotency_key}"
    if envelope.id:
        return f"id {envelope.sender} {envelope.id}"
    return f"content {hashlib.sha256(dump(envelope)).hexdigest()}"


def answer(
    taken: TakenEnvelope, cause: Message, ended: ActorInput, reply: Message | None, *, now: int
) -> BusEnvelope:
    """Return the terminal envelope of what ``cause`` asked and ``ended`` settled."""
    kind, text = _verdict(taken, ended, reply)
    return carried(
        text,
        sender=bus_id_of(taken.actor_id),
        ts=iso(ended.settled_at or now),
        to=taken.sender,
        kind=kind,
        id=f"{kind}-{ended.id}",
        in_reply_to=taken.envelope_id or str(cause.metadata["bus"]["file"]),
        thread=taken.thread,
        swarm=taken.swarm,
    )


def acknowledgement(taken: TakenEnvelope, *, file: str) -> BusEnvelope:
    """Return the envelope that says that another has been stored."""
    return carried(
        "",
        sender=bus_id_of(taken.actor_id),
        ts=iso(taken.created_at),
        to=taken.sender,
        kind=ACK,
        id=f"{ACK}-{taken.message_id}",
        in_reply_to=taken.envelope_id or file,
        thread=taken.thread,
        swarm=taken.swarm,
    )


def refusal(envelope: BusEnvelope, *, by: str, file: str, reason: str, now: int) -> BusEnvelope:
    """Return the envelope that says why nobody takes another."""
    return carried(
        reason,
        sender=bus_id_of(by),
        ts=iso(now),
        to=envelope.sender,
        kind=ERROR,
        id=f"refused-{hashlib.sha256(dump(envelope)).hexdigest()[:16]}",
        in_reply_to=envelope.id or file,
        thread=envelope.thread,
        swarm=envelope.swarm,
    )


def write(root: Path, envelope: BusEnvelope, *, at_ms: int) -> None:
    """Write an envelope to the inbox of whom it is for, unless it lies there already. Blocking."""
    name = settled_name(at_ms=at_ms, sender=envelope.sender, about=envelope.id)
    Channel(root, envelope.to).write_once(name, dump(envelope))


def _verdict(taken: TakenEnvelope, ended: ActorInput, reply: Message | None) -> tuple[str, str]:
    words = "" if reply is None or reply.metadata.get("wordless") else reply.body
    if ended.status is InputStatus.ANSWERED:
        return REPLY, words
    why = ended.reason or "it was taken back"
    if ended.status is InputStatus.FAILED or reply is not None:
        return ERROR, words or f"The turn failed: {why}."
    if taken.overdue:
        return ERROR, taken.overdue
    return CANCEL, f"There is no answer: {why}."
