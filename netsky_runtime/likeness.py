"""Which approvals ask the same thing, so that one decision can be made of several. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.beside import beside
from netsky_runtime.codex import commands
from netsky_runtime.states import ApprovalKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.states import ActorKind


@dataclass(frozen=True, slots=True)
class Shape:
    """What two approvals have in common that can be answered together."""

    kind: ApprovalKind
    actor: ActorKind
    cwd: str
    what: tuple[str, ...]
    """The command's words, else its very text; the patch; the permissions; what is beside them."""
    offered: frozenset[str]


def shape(approval: Approval, actor: ActorKind) -> Shape | None:
    """Return what an approval is like; none for what has to be answered in words of its own."""
    what = _what(approval)
    if what is None:
        return None
    return Shape(approval.kind, actor, approval.cwd, what, frozenset(approval.available_decisions))


def alike(
    approval: Approval, others: Iterable[Approval], kinds: Mapping[str, ActorKind]
) -> tuple[Approval, ...]:
    """Return the approvals among ``others`` that are like this one, itself among them.

    ``kinds`` are those of their actors.
    """
    wanted = _shape_in(approval, kinds)
    if wanted is None:
        return tuple(other for other in others if other.id == approval.id)
    return tuple(other for other in others if _shape_in(other, kinds) == wanted)


def is_certain(approval: Approval) -> bool:
    """Say whether an approval is about one plain command, as a rule needs it."""
    if approval.kind is not ApprovalKind.COMMAND:
        return False
    try:
        commands.executed(approval.raw)
    except commands.Held:
        return False
    return True


def _shape_in(approval: Approval, kinds: Mapping[str, ActorKind]) -> Shape | None:
    kind = kinds.get(approval.actor_id)
    return None if kind is None else shape(approval, kind)


def _what(approval: Approval) -> tuple[str, ...] | None:
    match approval.kind:
        case ApprovalKind.COMMAND:
            try:
                return ("words", *commands.executed(approval.raw))
            except commands.Held:
                return ("text", approval.command, *beside(approval.raw))
        case ApprovalKind.FILE_CHANGE:
            return ("patch", approval.patch, *beside(approval.raw)) if approval.patch else None
        case ApprovalKind.PERMISSIONS:
            asked = approval.raw.get("permissions")
            told = json.dumps(asked, sort_keys=True)
            return ("permissions", told, *beside(approval.raw)) if asked else None
        case _:
            return None
