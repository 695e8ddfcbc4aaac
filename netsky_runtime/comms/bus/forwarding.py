"""What an actor puts into its outbox goes to the inbox of whom it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netsky_runtime.comms.bus.addresses import bus_id_of
from netsky_runtime.comms.bus.envelope import BadEnvelope, BusEnvelope, parse
from netsky_runtime.comms.bus.folders import DELIVERED, OUTBOX, Channel
from netsky_runtime.comms.bus.names import readable
from netsky_runtime.errors import Conflict, NotFound, Unhealthy

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.comms.bus.names import Names
    from netsky_runtime.comms.bus.taking import PassedOver

_OURS = re.compile(r"[0-9]{20}-[0-9]{10}-[0-9a-f]{8}-[0-9]{10}-from-(agent[a-z0-9]+)\.json")


def forward(channel: Channel, *, names: Names, passed_over: PassedOver) -> None:
    """Deliver every envelope of the outbox once, the oldest first, and archive it.

    One that is not valid, names nobody or is not signed by the channel's own address goes to
    poison; one that cannot be delivered now stays. Raises ``Unhealthy`` for a symbolic link on
    the way.
    """
    for name in channel.pending(OUTBOX):
        channel.has(name, DELIVERED)  # where it could not be archived it would be sent for ever
        try:
            _forward(channel, name, names, passed_over)
        except NotFound:
            continue  # another forwarder has it, or its writer has thought better of it
        except (Unhealthy, Conflict) as error:
            passed_over(readable(name), error.message, poisoned=False)


def _forward(channel: Channel, name: str, names: Names, passed_over: PassedOver) -> None:
    try:
        data = channel.read(name, OUTBOX)
        envelope = parse(data)
        _check_signed(envelope, channel)
    except BadEnvelope as error:
        moved = channel.quarantine(name, error.message, OUTBOX)
        passed_over(moved, error.message, poisoned=True)
        return
    _deliver(name, data, envelope, channel.root, names)
    channel.move(name, OUTBOX, DELIVERED)


def _deliver(name: str, data: bytes, envelope: BusEnvelope, root: Path, names: Names) -> None:
    target = Channel(root, envelope.to)
    ours = _OURS.fullmatch(name)
    if ours and ours[1] == envelope.sender:
        target.write_once(name, data)  # a second attempt after a crash changes nothing
    else:
        target.write_new(data, sender=envelope.sender, names=names)


def _check_signed(envelope: BusEnvelope, channel: Channel) -> None:
    own = bus_id_of(channel.folder)
    if envelope.sender != own:
        msg = f"from is {envelope.sender}, and this is the outbox of {own}."
        raise BadEnvelope(msg)
    if not envelope.to:
        msg = "to is missing: nobody is named to deliver it to."
        raise BadEnvelope(msg)
