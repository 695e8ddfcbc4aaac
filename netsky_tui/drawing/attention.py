"""The queue of what waits for a human: its rows, what each is about, and the strip above."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from netsky_runtime.attention.items import Urgency, key_of
from netsky_runtime.states import AttentionKind
from netsky_tui.drawing.paragraphs import Writer
from netsky_tui.text import Line, Span, beside, clock_time, one_line, short_age
from netsky_tui.words import WAITS, Mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.attention.items import Action, AttentionItem
    from netsky_tui.drawing.approvals import ApprovalRow
    from netsky_tui.drawing.paragraphs import Para

_LONGEST: Final = 400
_ENDS: Final = frozenset({"put_away", "drop"})
"""Actions after which nothing more comes of it."""


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """Something that waits, as the room lists it."""

    key: str
    kind: AttentionKind
    ref: str
    actor: str
    what: str
    summary: str
    age: str
    mark: Mark
    urgency: Urgency
    waits: bool
    """False for a question that is decided and lingers."""

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        return f"{self.key} {self.actor} {self.what} {self.summary} {self.mark.word}"


def rows(
    items: Sequence[AttentionItem], approvals: Sequence[ApprovalRow], now: int
) -> tuple[AttentionRow, ...]:
    """Return a row for each item, in its order; approvals look as ``approvals`` say.

    Those of them that wait no more stay between the same neighbours.
    """
    waiting = {item.ref for item in items if item.kind is AttentionKind.APPROVAL}
    left = list(approvals)
    out: list[AttentionRow] = []

    def pass_to(ref: str) -> None:
        """Take over the approvals that wait no more and came before this one."""
        while left and left[0].key != ref and left[0].key not in waiting:
            out.append(_of_approval(left.pop(0)))

    for item in items:
        if item.kind is not AttentionKind.APPROVAL:
            if item.urgency is not Urgency.NOW:
                pass_to("")
            out.append(_row(item, now))
            continue
        pass_to(item.ref)
        if left and left[0].key == item.ref:
            out.append(_of_approval(left.pop(0)))
    pass_to("")
    return tuple(out)


def _row(item: AttentionItem, now: int) -> AttentionRow:
    mark = WAITS[item.kind]
    return AttentionRow(
        key=item.key,
        kind=item.kind,
        ref=item.ref,
        actor=one_line(item.actor),
        what=mark.word,
        summary=one_line(item.about.text)[:_LONGEST],
        age=short_age(item.since, now),
        mark=mark,
        urgency=item.urgency,
        waits=True,
    )


def _of_approval(row: ApprovalRow) -> AttentionRow:
    return AttentionRow(
        key=key_of(AttentionKind.APPROVAL, row.key),
        kind=AttentionKind.APPROVAL,
        ref=row.key,
        actor=row.actor,
        what=row.kind,
        summary=row.summary,
        age=row.age,
        mark=row.mark,
        urgency=Urgency.NOW,
        waits=row.waits,
    )


def height(_width: int) -> int:
    """Rows an item takes in the list."""
    return 1


def draw(row: AttentionRow, width: int) -> list[Line]:
    """Draw mark, actor, kind, what it is about, and age or outcome."""
    left: list[Span] = [
        (row.mark.glyph + " ", row.mark.tone),
        (row.actor, "strong" if row.waits else "faint"),
        (f" {row.what} ", "dim"),
        (row.summary, "text" if row.waits else "faint"),
    ]
    right = (row.age, "dim") if row.waits else (row.mark.word, row.mark.tone)
    return [beside(left, [right], width)]


def main_action(item: AttentionItem) -> Action | None:
    """Return what one most likely wants to do about it; approvals have keys of their own."""
    if item.kind is AttentionKind.APPROVAL:
        return None
    return next((each for each in item.about.actions if each.name not in _ENDS), None)


def last_action(item: AttentionItem) -> Action | None:
    """Return what takes it out of the queue without anything coming of it."""
    return next((each for each in item.about.actions if each.name in _ENDS), None)


def offered(item: AttentionItem | None) -> Mapping[str, str]:
    """Return what keys do about an item that is no approval, by the keys' names."""
    if item is None:
        return {}
    found = {"attention.act": main_action(item), "attention.end": last_action(item)}
    return {name: action.label for name, action in found.items() if action is not None}


def document(
    item: AttentionItem, now: int, keys: Mapping[str, str] = MappingProxyType({})
) -> tuple[Para, ...]:
    """Write all there is to say of an item that is no approval; ``keys`` do something about it."""
    out = Writer()
    mark = WAITS[item.kind]
    out.add(f"{item.actor} · {mark.word}", "strong")
    out.add("")
    out.add(item.about.text)
    if item.about.detail:
        out.add("")
        out.add(item.about.detail, "soft")
    out.add("")
    out.field("since", clock_time(item.since, now))
    if keys:
        out.add("")
    for key, label in keys.items():
        out.add(label, "accent", label=f"{key}  ")
    return out.done()


def strip(rows: Sequence[AttentionRow], width: int, key: str) -> Line:
    """Draw the line that cannot be overlooked; empty when nobody stands still."""
    urgent = [row for row in rows if row.waits and row.urgency is Urgency.NOW]
    if not urgent:
        return ()
    first, count = urgent[0], len(urgent)
    if all(row.kind is AttentionKind.APPROVAL for row in urgent):
        said = "1 approval waits" if count == 1 else f"{count} approvals wait"
        verb = "decide"
    else:
        said, verb = f"{count} {'waits' if count == 1 else 'wait'} for you", "look"
    left: list[Span] = [
        (f" ▲ {said} ", "strip-strong"),
        (f" {first.actor}: {first.summary}", "strip"),
    ]
    return beside(left, [(f" {key} {verb} ", "strip-strong")], width)
