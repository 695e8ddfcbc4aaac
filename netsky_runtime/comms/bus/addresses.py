"""Who is who on the bus, and which folder is whose.

``agent0`` is manager0, ``agentN`` is workerN and ``agentmanagerN`` is managerN. Every other actor
is ``agentmanager`` and its id, in which ``-`` is written ``0d`` and ``0`` is written ``00``, for a
bus id has no dash. Every other ``agent…`` is a program that is no actor, with a folder of its
own. Actor ids are addresses too. Of each actor there is one bus id, and of each bus id one folder.
"""

from __future__ import annotations

import re

from netsky_runtime.errors import UsageError
from netsky_runtime.records import MANAGER0, OWNER

AGENT0 = "agent0"
LONGEST = 80
"""Characters of a bus id; the longest actor id makes one of 73."""
LONGEST_ACTOR = 31

_PREFIX = "agent"
_NAMED = "agentmanager"
_BUS_ID = re.compile(r"agent[a-z0-9]+")
_ACTOR = re.compile(r"[a-z][a-z0-9-]*")
_NUMBER = r"[1-9][0-9]{0,18}"
_WORKER = re.compile(rf"worker({_NUMBER})")
_MANAGER = re.compile(rf"manager({_NUMBER})")
_NUMBERED = re.compile(rf"agent(manager)?({_NUMBER})")
_ESCAPED = re.compile(r"(?:[a-z1-9]|0[0d])+")
_ESCAPES = {"0": "00", "-": "0d"}
_ESCAPES_BACK = {written: char for char, written in _ESCAPES.items()}


def is_bus_id(text: str) -> bool:
    """Whether ``text`` can stand in an envelope's ``from``: ``agent``, then a-z and 0-9."""
    return len(text) <= LONGEST and _BUS_ID.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether ``text`` can be written to: a bus id, or an actor's id."""
    if text.startswith(_PREFIX):
        return is_bus_id(text)
    return len(text) <= LONGEST_ACTOR and _ACTOR.fullmatch(text) is not None and text != OWNER


def folder_of(address: str) -> str:
    """Return the name of the address's folder: the actor's id where it is an actor's.

    Raises ``UsageError`` for what is no address.
    """
    if not is_address(address):
        msg = f"{address!r} is no address on the bus."
        raise UsageError(msg, hint="Addresses are like agent0, agent3, agentci, or an actor's id.")
    if not address.startswith(_PREFIX):
        return address
    actor_id = _actor_in(address)
    # Other spellings, such as agentmanagerworker3, are programs of their own.
    if is_actors(actor_id) and is_address(actor_id) and bus_id_of(actor_id) == address:
        return actor_id
    return address


def is_actors(folder: str) -> bool:
    """Whether a folder belongs to an actor, not to a program of its own."""
    return not folder.startswith(_PREFIX)


def is_workers(folder: str) -> bool:
    """Whether a folder is a worker's, be there one or not yet."""
    return _WORKER.fullmatch(folder) is not None


def program_like(name: str) -> str:
    """Return the program that who wrote ``name`` may have meant, agentci for ci; or nothing."""
    program = f"{_PREFIX}{name}"
    known = not name.startswith(_PREFIX) and is_bus_id(program)
    return program if known and not is_actors(folder_of(program)) else ""


def bus_id_of(address: str) -> str:
    """Return the name that the address signs its envelopes with.

    Raises ``UsageError`` for what is no address.
    """
    folder = folder_of(address)
    if not is_actors(folder):
        return folder
    if folder == MANAGER0:
        return AGENT0
    if worker := _WORKER.fullmatch(folder):
        return f"{_PREFIX}{worker[1]}"
    if manager := _MANAGER.fullmatch(folder):
        return f"{_NAMED}{manager[1]}"
    return _NAMED + re.sub("[0-]", lambda found: _ESCAPES[found[0]], folder)


def _actor_in(bus_id: str) -> str:
    """Return the id of the actor that alone can have this bus id; the bus id itself without one."""
    if bus_id == AGENT0:
        return MANAGER0
    if numbered := _NUMBERED.fullmatch(bus_id):
        return f"{numbered[1] or 'worker'}{numbered[2]}"
    name = bus_id.removeprefix(_NAMED)
    if name == bus_id or not _ESCAPED.fullmatch(name):
        return bus_id
    return re.sub("0[0d]", lambda found: _ESCAPES_BACK[found[0]], name)
