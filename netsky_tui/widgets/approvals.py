"""What a key may decide about a question of Codex's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from netsky_tui.drawing import paragraphs
from netsky_tui.keymap import deciding

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Approval
    from netsky_runtime.states import DecisionWord
    from netsky_tui.drawing.approvals import ApprovalRow
    from netsky_tui.drawing.attention import AttentionRow


class Decide(Message):
    """The operator has decided."""

    def __init__(self, approval_id: str, word: DecisionWord) -> None:
        super().__init__()
        self.approval_id, self.word = approval_id, word


class Refuse(Message):
    """A key did nothing, and why."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def objection(
    approval: Approval | None, row: ApprovalRow | AttentionRow | None, word: DecisionWord
) -> str:
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
