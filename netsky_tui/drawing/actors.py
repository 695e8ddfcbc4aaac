"""The tree of actors, one row each, a second one when something is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netsky_runtime.records import OWNER
from netsky_runtime.states import ActorKind, ActorStatus, HealthState
from netsky_tui import vitals
from netsky_tui.text import Line, Span, beside, line_width, one_line, pad, short_age, truncate, wrap
from netsky_tui.words import HEALTH, PARKED, STOPPED, Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_tui.source import ActorFacts

_MARK_WIDTH = 11
_WHOLE_NAME = 48
"""Columns from which on a door's whole name is shown, else the start of it."""
_SHORT = 3


@dataclass(frozen=True, slots=True)
class ActorRow:
    """An actor as the room shows it."""

    key: str
    branch: str
    """The tree's lines before the name."""
    stem: str
    """The tree's lines below the name."""
    mark: Mark
    doing: str
    """What its turn does, how that is known and how long ago; else what its queue waits for."""
    why: str
    """Said on a second row; empty when nothing needs attention."""
    age: str
    runtime: str
    approvals: int
    waiting: int
    objective: str
    stopped: bool

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        return f"{self.key} {self.mark.word} {self.why} {self.objective}"


def rows(facts: Sequence[ActorFacts], now: int, *, no_codex: str = "") -> tuple[ActorRow, ...]:
    """Arrange actors as a tree: manager0, its managers, their workers; stopped ones last.

    ``no_codex`` says why what waits for an actor stays stored.
    """
    known = {fact.actor.id for fact in facts}
    children: dict[str, list[ActorFacts]] = {}
    for fact in facts:
        if fact.actor.kind is ActorKind.OWNER:
            continue
        parent = fact.actor.manager_id or OWNER
        if parent not in known:
            parent = OWNER
        children.setdefault(parent, []).append(fact)
    for group in children.values():
        group.sort(key=_order)
    out: list[ActorRow] = []
    _descend(children, OWNER, "", now, out, seen=set())
    if no_codex:
        out = [replace(row, why=no_codex) if row.waiting and not row.why else row for row in out]
    return tuple(out)


def _order(fact: ActorFacts) -> tuple[bool, bool, int, str]:
    actor = fact.actor
    stopped = actor.status is ActorStatus.STOPPED
    return stopped, actor.kind is not ActorKind.MANAGER, actor.created_at, actor.id


def _descend(
    children: Mapping[str, Sequence[ActorFacts]],
    parent: str,
    stem: str,
    now: int,
    out: list[ActorRow],
    seen: set[str],
) -> None:
    group = [fact for fact in children.get(parent, ()) if fact.actor.id not in seen]
    for index, fact in enumerate(group):
        seen.add(fact.actor.id)
        last = index == len(group) - 1
        top = parent == OWNER
        branch = "" if top else stem + ("└ " if last else "├ ")
        below = "" if top else stem + ("  " if last else "│ ")
        has_children = bool(children.get(fact.actor.id))
        out.append(_row(fact, branch, below + ("│ " if has_children else "  "), now))
        _descend(children, fact.actor.id, below, now, out, seen)


def _row(fact: ActorFacts, branch: str, stem: str, now: int) -> ActorRow:
    actor, health = fact.actor, fact.health
    mark = HEALTH[health.state]
    if actor.status is ActorStatus.STOPPED:
        mark = STOPPED
    elif actor.status is ActorStatus.PARKED:
        mark = PARKED
    trouble = health.state in {HealthState.BLOCKED, HealthState.UNHEALTHY}
    why = one_line(vitals.why(health, now)) if trouble and mark is not STOPPED else ""
    doing = f"waiting: {one_line(fact.hold.reason)}" if fact.hold and not why else ""
    if health.state is HealthState.BUSY and health.last_sign is not None:
        heard = short_age(health.last_sign, now)
        doing = f"{health.reason}, {health.evidence.value}, {heard}"
    return ActorRow(
        key=actor.id,
        branch=branch,
        stem=stem,
        mark=mark,
        doing=doing,
        why=why.removeprefix("parked: "),
        age=short_age(health.since or None, now),
        runtime=fact.session.runtime.value if fact.session else "",
        approvals=fact.approvals,
        waiting=max(0, fact.open_inputs - (fact.turn is not None)),
        objective=one_line(actor.objective)[:200],
        stopped=actor.status is ActorStatus.STOPPED,
    )


def draw(row: ActorRow, width: int) -> list[Line]:
    """Draw name, badges, health and age; below it why, in two rows, or what it is there for."""
    right: list[Span] = [
        (row.mark.glyph + " ", row.mark.tone),
        (pad(row.mark.word, _MARK_WIDTH - 2), row.mark.tone),
        (pad(row.age, 4, right=True), "dim"),
    ]
    left: list[Span] = [(row.branch, "tree"), (one_line(row.key), _name_tone(row))]
    if row.approvals:
        left += [(" ", "text"), (f"▲{row.approvals}", "alarm")]
    if row.waiting:
        left.append((f" ✉{row.waiting}", "dim"))
    door = row.runtime if width >= _WHOLE_NAME else row.runtime[:_SHORT]
    named: list[Span] = [(door, "faint"), ("  ", "text"), *right]
    if door and line_width(left) + line_width(named) < width:
        right = named
    lines = [beside(left, right, width)]
    second, tone = (
        (row.why, "bad" if row.mark.tone == "bad" else "warn") if row.why else ("", "faint")
    )
    if row.approvals:
        second = "an approval waits" if row.approvals == 1 else f"{row.approvals} approvals wait"
        tone = "warn"
    if not second and not row.stopped:
        second = " · ".join(filter(None, (row.doing, row.objective)))
    stem: Span = (row.stem, "tree")
    room = width - line_width([stem])
    below = _rows_of(second, room) if row.why else [second] if second else []
    return lines + [(stem, *truncate([(text, tone)], room)) for text in below]


def _rows_of(text: str, width: int) -> list[str]:
    """Break a reason into two rows; the second keeps what does not fit, to be cut there."""
    first, *rest = wrap(text, width)
    return [first, " ".join(rest)] if rest else [first]


def _name_tone(row: ActorRow) -> str:
    if row.stopped:
        return "faint"
    return "strong"
