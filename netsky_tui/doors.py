"""What a door to Codex has not, and why, in words for whoever wants it all the same."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from netsky_runtime.records import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.records import Session


class Action(StrEnum):
    """What not every door can do."""

    STEER = "steer"
    ATTACH = "attach"
    APPROVALS = "approvals"
    MOVE = "move"


LACKS: Final[Mapping[RuntimeName, Mapping[Action, str]]] = MappingProxyType(
    {
        RuntimeName.APP_SERVER: {},
        RuntimeName.MCP_SERVER: {
            Action.STEER: "Codex's MCP server takes nothing into a running turn: "
            "queue or interrupt",
            Action.ATTACH: "Codex's MCP server has no screen: move it to app_server or resident",
        },
        RuntimeName.RESIDENT: {
            Action.STEER: "what is typed into a running Codex waits for its turn's end: "
            "queue or interrupt",
            Action.APPROVALS: "Codex asks on its own screen, where you answer: attach",
        },
        RuntimeName.SCRIPTED: {
            Action.ATTACH: "a script has no screen of its own",
            Action.MOVE: "a script's thread is no thread of Codex",
        },
    }
)
"""Door to action to reason; what is not named it can do."""


def lacks(session: Session | None, action: Action) -> str:
    """Return why the session's door cannot do that; empty when it can, or is not known yet."""
    return LACKS[session.runtime].get(action, "") if session is not None else ""


def closed_to(session: Session | None, door: RuntimeName) -> str:
    """Return why the session's thread cannot go through ``door``; empty when it can."""
    if session is not None and session.runtime is door:
        return "it is there already"
    if door is RuntimeName.MCP_SERVER and session is not None and session.thread_id:
        return "cannot, it knows only threads that it has started itself"
    return ""
