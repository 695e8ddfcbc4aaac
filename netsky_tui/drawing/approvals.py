"""Questions from Codex as the room names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.beside import names
from netsky_runtime.states import ApprovalStatus
from netsky_tui.drawing.paragraphs import diff_stat
from netsky_tui.text import one_line, short_age
from netsky_tui.words import APPROVAL, ASKS, KIND_SHORT, Mark

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Approval


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A question from Codex as the room lists it."""

    key: str
    actor: str
    kind: str
    summary: str
    age: str
    mark: Mark
    waits: bool

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        return f"{self.key} {self.actor} {self.kind} {self.summary} {self.mark.word}"


def summary(approval: Approval) -> str:
    """Say in one line what is asked; first that there is more than is seen in it."""
    more = names(approval.raw)
    return f"(+ {one_line(more)}) {_asked(approval)}" if more else _asked(approval)


def _asked(approval: Approval) -> str:
    if approval.command:
        return one_line(approval.command)
    if approval.patch:
        added, removed = diff_stat(approval.patch)
        files = [
            line.removeprefix("+++ ").removeprefix("b/").split("\t")[0]
            for line in approval.patch.split("\n")
            if line.startswith("+++ ")
        ]
        what = files[0] if len(files) == 1 else f"{len(files)} files" if files else "files"
        return one_line(f"{what} +{added} -{removed}")
    for question in approval.questions:
        return one_line(str(question.get("question") or question.get("header") or ""))
    return one_line(approval.reason) or ASKS[approval.kind]


def row(approval: Approval, now: int, *, doing: str = "") -> ApprovalRow:
    """Turn an approval into a row; ``doing`` is the decision on its way."""
    mark = Mark("…", doing, "accent") if doing else APPROVAL[approval.status]
    return ApprovalRow(
        key=approval.id,
        actor=one_line(approval.actor_id),
        kind=KIND_SHORT[approval.kind],
        summary=summary(approval)[:400],
        age=short_age(approval.created_at, now),
        mark=mark,
        waits=approval.status is ApprovalStatus.PENDING and not doing,
    )
