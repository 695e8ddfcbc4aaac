"""What netsky has to tell the operator, the most pressing first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_LOGGED_IN, NO_CODEX = "not logged in", "no Codex"
_STARTING = "is being started"
_SILENT = "has answered nobody since"
_FAILING = "ends again and again by an error"
_NOT_OPEN = "not open"


class Weight(IntEnum):
    """How much depends on it."""

    ALARM = 0
    """No turn can run, nothing can be stored, or the room shows old things."""
    TROUBLE = 1
    """Something of the operator's own is wrong."""
    ADVICE = 2


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence or a few."""

    text: str
    weight: Weight


def no_codex(told: Sequence[str], *, version: str, detail: str) -> str:
    """Say in two or three words why no turn can run; empty when one can.

    ``told``, ``version`` and ``detail`` are what the ``status`` verb says of the runtime: it gives
    neither codes nor weights, but its reasons for a door that is not open.
    """
    if any(NOT_LOGGED_IN in text.casefold() for text in told):
        return NOT_LOGGED_IN
    reasons = [text for text in told if _STARTING not in text and _FAILING not in text]
    return NO_CODEX if reasons and (not version or detail == _NOT_OPEN) else ""


def arrange(
    *, alarms: Sequence[str], own: Sequence[str], told: Sequence[str], why: str
) -> tuple[Notice, ...]:
    """Order what is worst (``alarms``, some empty), mistakes of ``own`` keys, what was ``told``.

    ``why`` is what ``no_codex`` said.
    """
    out = [Notice(text, Weight.ALARM) for text in alarms if text]
    out += [Notice(text, Weight.TROUBLE) for text in own]
    for text in told:
        known = NOT_LOGGED_IN in text.casefold() or _SILENT in text or _FAILING in text
        pressing = known or (why == NO_CODEX and _STARTING not in text)
        out.append(Notice(text, Weight.ALARM if pressing else Weight.ADVICE))
    return tuple(sorted(out, key=lambda notice: notice.weight))
