"""What both ends of the control socket say the same way. Light: the command line imports it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.errors import BY_CODE, NetskyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOL: Final = 1
"""Grows when an older client or daemon would misunderstand a newer one."""

HELLO: Final = "hello"
WATCH: Final = "watch"
SUBSCRIBE: Final = "subscribe"
PUSH: Final = "push"
"""The notification that carries a push."""
ACK: Final = "ack"
"""The notification by which a client with a window takes ``{"pages": n}`` of facts."""

ANSWER_SECONDS: Final = 30.0
"""How long a client waits for an answer, where nothing else is said."""
MOVE_SECONDS: Final = 300.0
"""Likewise for ``actors.move``: a door may be started for it, a turn come to rest, the thread be
resumed there, and at its old door again when that fails."""

_INVALID: Final = -32602
_FAILED: Final = -32000


class PushKind(StrEnum):
    """What the daemon says unasked; ``Push.data`` carries these keys."""

    FACTS = "facts"
    """``events``: a list in the order of ``seq``. Never with a gap."""
    LIVE = "live"
    """``actor_id, thread_id, turn_id, items [{item_id, stream, text}]``: the unfinished text of
    the watched actor, the latest state; ``lost``: how many states a slow listener did not see."""
    CHANGED = "changed"
    """``revision``: the database is not what it was."""
    NOTICE = "notice"
    """``level, text``: something for the operator to read."""
    CLOSING = "closing"
    """``reason``: the last push. ``stopped``: whether somebody wanted no netsky on this home any
    more; else whoever listens may host it."""


@dataclass(frozen=True, slots=True)
class Push:
    """One thing the daemon said unasked."""

    kind: PushKind
    data: dict[str, Any]


def answer_seconds(method: str) -> float:
    """Return how long the answer to a request may take. Who gives up sooner does not stop it."""
    return MOVE_SECONDS if method == "actors.move" else ANSWER_SECONDS


def error_to_wire(error: NetskyError) -> tuple[int, str, dict[str, str]]:
    """Return the number, message and data of an error answer."""
    number = _INVALID if isinstance(error, UsageError) else _FAILED
    return number, error.message, {"code": error.code, "hint": error.hint}


def error_from_wire(message: str, data: object) -> NetskyError:
    """Return the error that the other side raised, by its ``code``."""
    told: Mapping[str, Any] = data if isinstance(data, dict) else {}
    code = str(told.get("code", NetskyError.code))
    error = BY_CODE.get(code, NetskyError)(message, hint=str(told.get("hint", "")))
    error.code = code  # a code of a newer daemon is kept, though its class is not known here
    return error
