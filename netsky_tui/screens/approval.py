"""One question, as large as the terminal allows; the same keys decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content

from netsky_runtime.approval_records import Approval
from netsky_runtime.states import DecisionWord
from netsky_tui.drawing import approvals, paragraphs
from netsky_tui.keymap import bindings
from netsky_tui.screens.page import Document, PageScreen
from netsky_tui.widgets.approvals import Decide, Refuse, objection
from netsky_tui.widgets.panes import Wants

if TYPE_CHECKING:
    from textual.binding import BindingType

Lookup = Callable[[str], tuple[Approval | None, str]]


class ApprovalScreen(PageScreen):
    """Stays on its question whatever else arrives."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("approvals")

    def __init__(self, approval: Approval, lookup: Lookup, *, foot: str) -> None:
        super().__init__(f"{approval.id} · {approval.actor_id}", self._read, foot=foot)
        self._approval, self._lookup = approval, lookup

    async def _read(self) -> Document:
        found, doing = self._lookup(self._approval.id)
        self._approval = found or self._approval
        return paragraphs.approval_document(self._approval, doing=doing)

    def update(self) -> None:
        """Show the question as it is now."""
        found, doing = self._lookup(self._approval.id)
        self._approval = found or self._approval
        self.view.set_rows(paragraphs.approval_document(self._approval, doing=doing))

    def action_alike(self) -> None:
        """Answer all questions that ask the same as this one."""
        self.post_message(Wants("approval.alike", self._approval.id))

    def action_rule(self) -> None:
        """Make a rule of this question."""
        self.post_message(Wants("approval.rule", self._approval.id))

    def action_decide(self, word: str) -> None:
        """Decide this question."""
        found, doing = self._lookup(self._approval.id)
        row = approvals.row(self._approval, self._approval.created_at, doing=doing)
        decision = DecisionWord(word)
        gone = "" if found is not None else f"{self._approval.id} has gone."
        problem = gone or objection(self._approval, row, decision)
        if problem:
            self.query_one("#page").border_subtitle = Content(problem)
            self.post_message(Refuse(problem))
            return
        self.post_message(Decide(self._approval.id, decision))
