"""Taking envelopes out of a folder: the bad ones go to poison, and the next one is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from netsky_runtime.comms.bus.envelope import BadEnvelope, BusEnvelope, parse
from netsky_runtime.comms.bus.folders import CLAIMED, INBOX, Channel
from netsky_runtime.comms.bus.guarded import Unreadable
from netsky_runtime.comms.bus.names import readable
from netsky_runtime.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator


class PassedOver(Protocol):
    """Told of a file that nobody is given, and why."""

    def __call__(self, name: str, reason: str, *, poisoned: bool) -> None:
        """Say it to whoever looks after the bus; ``poisoned`` or left where it is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An envelope that was taken."""

    file: str
    """Its name in the inbox, as far as it can be shown."""
    name: str
    """Its name among the claimed."""
    envelope: BusEnvelope


def claims(
    channel: Channel,
    *,
    passed_over: PassedOver,
    unfinished_since: float | None = None,
    before: float | None = None,
    most: int | None = None,
) -> Iterator[Claim]:
    """Claim the valid envelopes of an inbox one by one, the oldest first.

    What is not valid goes to poison; what cannot be read is left, and so is what is not valid
    and was changed after ``unfinished_since`` (seconds since the epoch): a program may be writing
    it without the care of a rename. With ``before`` (the same) only what was put there earlier
    than that. At most ``most`` files are taken, good and bad. Raises ``Unhealthy`` for a symbolic
    link on the way.
    """
    count = 0
    for name in channel.pending():
        if count == most:
            return
        try:
            if before is not None and channel.changed_at(name) >= before:
                continue
            if unfinished_since is not None and _unfinished(channel, name, unfinished_since):
                continue
            taken = channel.claim(name)
            count += 1
            envelope = _content(channel, taken, passed_over)
        except NotFound:
            continue  # somebody else was quicker
        except Unreadable as error:
            passed_over(readable(name), error.message, poisoned=False)
            continue
        if envelope is not None:
            yield Claim(file=readable(name), name=taken, envelope=envelope)


def _content(channel: Channel, taken: str, passed_over: PassedOver) -> BusEnvelope | None:
    """Return what was claimed, unless it is bad: then it is in poison."""
    try:
        return parse(channel.read(taken, CLAIMED))
    except Unreadable:
        channel.move(taken, CLAIMED, INBOX)
        raise
    except BadEnvelope as error:
        passed_over(channel.quarantine(taken, error.message, CLAIMED), error.message, poisoned=True)
        return None


def _unfinished(channel: Channel, name: str, since: float) -> bool:
    if channel.changed_at(name) < since:
        return False
    try:
        parse(channel.read(name))
    except BadEnvelope:
        return True
    return False
