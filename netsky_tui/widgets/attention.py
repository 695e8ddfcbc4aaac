"""Everything that waits for a human, with all there is to say of the selected thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.message import Message

from netsky_runtime.attention.items import Urgency
from netsky_runtime.likeness import is_certain
from netsky_runtime.states import AttentionKind, DecisionWord
from netsky_tui.drawing import attention, paragraphs
from netsky_tui.drawing.attention import AttentionRow
from netsky_tui.keymap import Keymap, bindings, deciding
from netsky_tui.widgets.approvals import Decide, Refuse, objection
from netsky_tui.widgets.panes import Pane, Wants
from netsky_tui.widgets.rows import RowsView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.attention.items import Action, AttentionItem

SETTLE = 0.7
"""Seconds a thing must have been in view before a key that was meant for another can hit it."""
_LISTED = 7
"""Rows of the list at least, and half of a high pane; the rest is what the selected is about."""
_SOON = "That has only just come up. Read it, then press the key again."


class Act(Message):
    """The operator wants something done about what waits."""

    def __init__(self, item: AttentionItem, action: Action) -> None:
        super().__init__()
        self.item, self.action = item, action


class AttentionList(RowsView[AttentionRow]):
    """The list; page keys scroll what is said of the selected thing."""

    detail: RowsView[Any]

    def action_page_up(self) -> None:
        """Scroll up what is said of it."""
        self.detail.action_page_up()

    def action_page_down(self) -> None:
        """Scroll down what is said of it."""
        self.detail.action_page_down()


class AttentionPane(Pane):
    """A list above the selected thing, whole. Keys decide only in here."""

    number, name_shown = "5", "waiting"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("approvals"), *bindings("attention")]

    def __init__(
        self,
        *,
        keymap: Keymap,
        monotonic: Callable[[], float],
        item: Callable[[str], AttentionItem | None],
        approval: Callable[[str], tuple[Approval | None, str]],
        alike: Callable[[str], int],
        now: Callable[[], int],
    ) -> None:
        """Make it; ``item`` finds what waits by its key, ``approval`` what is to be decided.

        The latter with the decision on its way. ``alike`` counts what waits and asks the same as
        an approval, itself too. ``now`` is the wall clock in milliseconds.
        """
        view = AttentionList(
            attention.draw,
            height=attention.height,
            empty="Nothing waits for you.",
            id="attention-view",
        )
        super().__init__(view, id="attention")
        self.detail: RowsView[Any] = RowsView(paragraphs.draw, cursor=False, id="attention-detail")
        self.detail.can_focus = False
        view.detail = self.detail
        self._keymap_shown, self._monotonic, self._now = keymap, monotonic, now
        self._item, self._approval, self._alike = item, approval, alike
        self._came_up = float("-inf")
        self._shown = ""

    def compose(self) -> ComposeResult:
        """Lay out list and detail."""
        yield self.view
        yield self.detail

    def show_queue(self, rows: Sequence[AttentionRow], total: int) -> None:
        """Show what waits, of which there are ``total``."""
        urgent = any(row.waits and row.urgency is Urgency.NOW for row in rows)
        self.set_class(not rows, "-nothing")
        self.set_class(urgent, "-waiting")
        listed = sum(row.waits for row in rows)
        self._label(f" · {listed} of {total}" if total > listed else "")
        self.show(rows, self.note)
        self._label_keys()
        self._share()
        self._show_detail()

    def on_resize(self) -> None:
        """Let the list have its share."""
        self._share()

    def _share(self) -> None:
        most = max(_LISTED, self.size.height // 2)
        self.view.styles.height = max(1, min(most, len(self.view.rows)))

    @on(RowsView.Moved)
    def _moved(self, event: RowsView.Moved) -> None:
        if event.view is self.view:
            if not event.by_hand:
                self._came_up = self._monotonic()
            self._label_keys()
            self._show_detail()

    @property
    def _selected(self) -> tuple[AttentionRow | None, Approval | None, str]:
        """The selected row, its approval if it is one, and the decision on its way."""
        row = self.view.current
        if row is None or row.kind is not AttentionKind.APPROVAL:
            return row, None, ""
        return (row, *self._approval(row.ref))

    @property
    def offered(self) -> Mapping[str, str]:
        """What keys do about the selected thing, by the keys' names."""
        row, approval, _ = self._selected
        if row is None or not row.waits:
            return {}
        if approval is not None:
            words = paragraphs.offered(approval)
            return {key.id: key.label for word, key in deciding().items() if word in words}
        return attention.offered(self._item(row.key))

    def _label_keys(self) -> None:
        """Say in the frame which keys do something about the selected thing."""
        say = self._keymap_shown.say
        self.note = " · ".join(f"{say(name)} {label}" for name, label in self.offered.items())
        self._pour()

    def _show_detail(self) -> None:
        row, approval, doing = self._selected
        item = self._item(row.key) if row is not None else None
        if approval is not None:
            more = self._more(approval) if row is not None and row.waits else {}
            self.detail.set_rows(paragraphs.approval_document(approval, doing=doing, keys=more))
        else:
            say = self._keymap_shown.say
            keys = {say(name): label for name, label in attention.offered(item).items()}
            self.detail.set_rows(attention.document(item, self._now(), keys) if item else ())
        if row is not None and row.key != self._shown:
            self._shown = row.key
            self.detail.scroll_home(animate=False)

    def _more(self, approval: Approval) -> Mapping[str, str]:
        """Say what else than deciding it the keys do about a question, where they do."""
        say, told = self._keymap_shown.say, {}
        if (count := self._alike(approval.id)) > 1:
            told[say("approvals.alike")] = f"answer all {count} that ask the same"
        if is_certain(approval):
            told[say("approvals.rule")] = "make a rule of it"
        return told

    def action_decide(self, word: str) -> None:
        """Decide the selected question."""
        row, approval, _ = self._selected
        decision = DecisionWord(word)
        if row is not None and row.kind is not AttentionKind.APPROVAL:
            problem = f"That is no approval. {self.note or 'Enter opens it.'}"
        else:
            problem = objection(approval, row, decision)
        if not problem and self._just_came_up:
            problem = _SOON
        if problem or row is None:
            self.post_message(Refuse(problem))
            return
        self.post_message(Decide(row.ref, decision))

    def action_alike(self) -> None:
        """Answer all questions that ask the same as the selected one."""
        self._about_approval("approval.alike")

    def action_rule(self) -> None:
        """Make a rule of the selected question."""
        self._about_approval("approval.rule")

    def _about_approval(self, verb: str) -> None:
        row, approval, _ = self._selected
        if row is None or approval is None:
            self.post_message(Refuse(f"That is no approval. {self.note or 'Enter opens it.'}"))
        elif self._just_came_up:
            self.post_message(Refuse(_SOON))
        else:
            self.post_message(Wants(verb, row.ref))

    def action_act(self) -> None:
        """Do what one most likely wants to do about the selected thing."""
        self._act(attention.main_action)

    def action_end(self) -> None:
        """Take the selected thing out of the queue."""
        self._act(attention.last_action)

    def _act(self, choose: Callable[[AttentionItem], Action | None]) -> None:
        row = self.view.current
        item = self._item(row.key) if row is not None else None
        action = choose(item) if item is not None else None
        if row is None or item is None:
            self.post_message(Refuse("Nothing is selected."))
        elif action is None:
            self.post_message(Refuse(f"Not here. {self.note or 'Enter opens it.'}"))
        elif self._just_came_up:
            self.post_message(Refuse(_SOON))
        else:
            self.post_message(Act(item, action))

    @property
    def _just_came_up(self) -> bool:
        return self._monotonic() - self._came_up < SETTLE

    def next_urgent(self, after: str) -> bool:
        """Put the cursor on the next thing for which somebody stands still, as if just come up.

        ``after`` is the approval that was decided. False when there is none.
        """
        rows = self.view.rows
        place = next((i for i, row in enumerate(rows) if row.ref == after), -1)
        for row in [*rows[place + 1 :], *rows[: max(0, place)]]:
            if row.waits and row.urgency is Urgency.NOW and row.ref != after:
                self.view.select(row.key)
                self._came_up = self._monotonic()
                return True
        return False
