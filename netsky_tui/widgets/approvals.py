"""The questions that wait for a human, with everything needed to decide them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.message import Message

from netsky_runtime.states import DecisionWord
from netsky_tui.drawing import approvals, paragraphs
from netsky_tui.drawing.approvals import ApprovalRow
from netsky_tui.keymap import Keymap, bindings, deciding
from netsky_tui.widgets.panes import Pane
from netsky_tui.widgets.rows import RowsView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from netsky_runtime.records import Approval

SETTLE = 0.7
"""Seconds a question must have been in view before a key that was meant for another can hit it."""


class Decide(Message):
    """The operator has decided."""

    def __init__(self, approval_id: str, word: DecisionWord) -> None:
        super().__init__()
        self.approval_id, self.word = approval_id, word


class Refuse(Message):
    """A decision key did nothing, and why."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def objection(approval: Approval | None, row: ApprovalRow | None, word: DecisionWord) -> str:
    """Say why this decision cannot be made now; empty when it can."""
    if approval is None or row is None:
        return "Nothing is selected."
    if not row.waits:
        return f"The question of {row.actor} is decided already: {row.mark.word}."
    offered = paragraphs.offered(approval)
    if word not in offered:
        label = {word: key.label for word, key in deciding().items()}
        names = ", ".join(label[choice] for choice in offered)
        return f"The question of {row.actor} does not offer {label[word]!r}. It offers: {names}."
    return ""


class ApprovalList(RowsView[ApprovalRow]):
    """The list; page keys scroll the question below it."""

    detail: RowsView[Any]

    def action_page_up(self) -> None:
        """Scroll the question up."""
        self.detail.action_page_up()

    def action_page_down(self) -> None:
        """Scroll the question down."""
        self.detail.action_page_down()


class ApprovalsPane(Pane):
    """A list of questions above the selected one, whole. Keys decide only in here."""

    number, name_shown = "5", "approvals"
    BINDINGS: ClassVar[list[BindingType]] = bindings("approvals")

    def __init__(self, *, keymap: Keymap, monotonic: Callable[[], float]) -> None:
        view = ApprovalList(approvals.draw, height=approvals.height, id="approvals-view")
        super().__init__(view, id="approvals")
        self.detail: RowsView[Any] = RowsView(paragraphs.draw, cursor=False, id="approval-detail")
        self.detail.can_focus = False
        view.detail = self.detail
        self._keymap_shown, self._monotonic = keymap, monotonic
        self._came_up = float("-inf")
        self._lookup: Callable[[str], tuple[Approval | None, str]] = lambda _: (None, "")
        self._shown = ""

    def compose(self) -> ComposeResult:
        """Lay out list and question."""
        yield self.view
        yield self.detail

    def show_approvals(
        self,
        rows: Sequence[ApprovalRow],
        lookup: Callable[[str], tuple[Approval | None, str]],
    ) -> None:
        """Show these questions; ``lookup`` gives an approval and the decision on its way."""
        self._lookup = lookup
        waiting = sum(row.waits for row in rows)
        self.set_class(not rows, "-nothing")
        self.set_class(bool(waiting), "-waiting")
        self.show(rows, self.note)
        self._label_keys()
        self.view.styles.height = max(1, min(6, len(rows)))
        self._show_detail()

    @on(RowsView.Moved)
    def _moved(self, event: RowsView.Moved) -> None:
        if event.view is self.view:
            if not event.by_hand:
                self._came_up = self._monotonic()
            self._label_keys()
            self._show_detail()

    @property
    def refused(self) -> frozenset[DecisionWord]:
        """What the selected question does not offer."""
        row = self.view.current
        approval = self._lookup(row.key)[0] if row is not None else None
        return (
            frozenset(DecisionWord) - {*paragraphs.offered(approval)} if approval else frozenset()
        )

    def _label_keys(self) -> None:
        """Say in the frame which keys decide the selected question, while one waits."""
        waits = any(row.waits for row in self._all)
        offered = frozenset(DecisionWord) - self.refused
        self.note = self._keymap_shown.deciding(offered) if waits else ""
        self._pour()

    def _show_detail(self) -> None:
        row = self.view.current
        approval, doing = self._lookup(row.key) if row is not None else (None, "")
        document = paragraphs.approval_document(approval, doing=doing) if approval else ()
        self.detail.set_rows(document)
        if row is not None and row.key != self._shown:
            self._shown = row.key
            self.detail.scroll_home(animate=False)

    def action_decide(self, word: str) -> None:
        """Decide the selected question."""
        row = self.view.current
        approval = self._lookup(row.key)[0] if row is not None else None
        decision = DecisionWord(word)
        problem = objection(approval, row, decision)
        if not problem and self._monotonic() - self._came_up < SETTLE:
            problem = "That question has only just come up. Read it, then press the key again."
        if problem or row is None:
            self.post_message(Refuse(problem))
            return
        self.post_message(Decide(row.key, decision))

    def next_waiting(self, after: str) -> bool:
        """Put the cursor on the next question that waits, as if it had just come up.

        False when none waits.
        """
        rows = self.view.rows
        place = next((i for i, row in enumerate(rows) if row.key == after), -1)
        for row in [*rows[place + 1 :], *rows[: max(0, place)]]:
            if row.waits and row.key != after:
                self.view.select(row.key)
                self._came_up = self._monotonic()
                return True
        return False
