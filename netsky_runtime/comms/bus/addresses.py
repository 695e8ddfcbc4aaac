"""Who is who on the bus, and which folder is whose.

``agent0`` is manager0, ``agentN`` is workerN and ``agentmanagerN`` is managerN. Every other
``agent…`` is a program that is no actor, with a folder of its own. Actor ids are addresses too.
"""

from __future__ import annotations

import re

from netsky_runtime.errors import UsageError
from netsky_runtime.records import MANAGER0, OWNER

AGENT0 = "agent0"
LONGEST = 64

_BUS_ID = re.compile(r"agent[a-z0-9]+")
_WORKER = re.compile(r"agent([1-9][0-9]*)")
_MANAGER = re.compile(r"agent(manager[1-9][0-9]*)")
_ACTOR = re.compile(r"[a-z][a-z0-9-]*")
_WORKER_ID = re.compile(r"worker([1-9][0-9]*)")


def is_bus_id(text: str) -> bool:
    """Whether ``text`` can stand in an envelope's ``from``: ``agent``, then a-z and 0-9."""
    return len(text) <= LONGEST and _BUS_ID.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether ``text`` can be written to: a bus id, or an actor's id."""
    if text.startswith("agent"):
        return is_bus_id(text)
    return len(text) <= LONGEST and _ACTOR.fullmatch(text) is not None and text != OWNER


def folder_of(address: str) -> str:
    """Return the name of the address's folder: the actor's id where it is an actor's.

    Raises ``UsageError`` for what is no address.
    """
    if not is_address(address):
        msg = f"{address!r} is no address on the bus."
        raise UsageError(msg, hint="Addresses are like agent0, agent3, agentci, or an actor's id.")
    if address == AGENT0:
        return MANAGER0
    if worker := _WORKER.fullmatch(address):
        return f"worker{worker[1]}"
    if manager := _MANAGER.fullmatch(address):
        return manager[1]
    return address


def is_actors(folder: str) -> bool:
    """Whether a folder belongs to an actor, not to a program of its own."""
    return not folder.startswith("agent")


def bus_id_of(address: str) -> str:
    """Return the name that the address signs its envelopes with.

    Raises ``UsageError`` for what is no address.
    """
    folder = folder_of(address)
    if not is_actors(folder):
        return folder
    if folder == MANAGER0:
        return AGENT0
    if worker := _WORKER_ID.fullmatch(folder):
        return f"agent{worker[1]}"
    return f"agent{folder.replace('-', '')}"
