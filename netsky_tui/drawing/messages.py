"""The conversation: who to whom, of what kind, how far it got, and the whole body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.records import OWNER, Message
from netsky_runtime.states import InputMode, MessageKind, MessageStatus
from netsky_tui.text import Line, Span, beside, clock_time, one_line, wrap
from netsky_tui.words import INPUT, KIND_WORD, MESSAGE, QUESTION, SOURCE_WORD, UNREAD, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_tui.source import MessageFacts

FOLDED_ROWS = 6
"""Rows of an older long body that stay visible."""
WHOLE = 12
"""So many of the latest messages are shown whole."""
LONGEST_WHOLE = 400
"""Rows; a body that is longer is folded even when it is the latest."""
_FOLD_CHARACTERS = 40_000
_PAIR = 2


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message as the room shows it."""

    key: str
    time: str
    sender: str
    target: str
    tag: str
    """Kind and mode, where they say something."""
    mark: Mark
    why: str
    body: str
    longest: int
    """Rows of the body before it is folded."""
    unread: bool
    to_owner: bool
    task: str

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        return f"{self.key} {self.sender} {self.target} {self.tag} {self.task} {self.body}"


def rows(facts: Sequence[MessageFacts], now: int) -> tuple[MessageRow, ...]:
    """Turn messages, oldest first, into rows; the latest ones are shown whole."""
    first_whole = len(facts) - WHOLE
    return tuple(
        _row(fact, now, LONGEST_WHOLE if index >= first_whole else FOLDED_ROWS)
        for index, fact in enumerate(facts)
    )


def _row(fact: MessageFacts, now: int, longest: int) -> MessageRow:
    message = fact.message
    tags = [KIND_WORD[message.kind], SOURCE_WORD.get(message.source, "")]
    if fact.mode is not None and fact.mode is not InputMode.QUEUE:
        tags.append(fact.mode.value)
    unread = message.target == OWNER and message.read_at is None
    return MessageRow(
        key=message.id,
        time=clock_time(message.created_at, now),
        sender=one_line(message.sender),
        target=one_line(message.target),
        tag=" · ".join(tag for tag in tags if tag),
        mark=mark_of(fact),
        why=one_line(fact.reason),
        body=message.body.strip("\n"),
        longest=longest,
        unread=unread,
        to_owner=message.target == OWNER,
        task=message.task_id or "",
    )


def mark_of(fact: MessageFacts) -> Mark:
    """Return how far a message has come."""
    message = fact.message
    if _asks_owner(message):
        return QUESTION
    if message.target == OWNER and message.read_at is None:
        return UNREAD
    if fact.input_status is not None:
        return INPUT[fact.input_status]
    return MESSAGE[message.status]


def _asks_owner(message: Message) -> bool:
    open_states = {MessageStatus.RECEIVED, MessageStatus.ROUTED}
    to_owner = message.kind is MessageKind.QUESTION and message.target == OWNER
    return to_owner and message.status in open_states


def draw(row: MessageRow, width: int) -> list[Line]:
    """Draw the head line, the wrapped body and a free line."""
    head: list[Span] = [
        (row.time + " ", "dim"),
        (row.sender, who_tone(row.sender)),
        (" → ", "faint"),
        (row.target, who_tone(row.target)),
    ]
    if row.tag:
        head.append((f" {row.tag}", "dim"))
    if row.task:
        head.append((f" {row.task}", "dim"))
    mark = f"{row.mark.glyph} {row.mark.word}".strip()
    lines: list[Line] = [beside(head, [(mark, row.mark.tone)], width)]
    if row.why:
        lines += [(("  ", "text"), (text, row.mark.tone)) for text in wrap(row.why, width - _PAIR)]
    body_tone = "text" if row.to_owner or row.sender == OWNER else "soft"
    body = wrap(row.body[:_FOLD_CHARACTERS], width - _PAIR)
    hidden = len(body) - row.longest
    cut = len(row.body) > _FOLD_CHARACTERS
    if hidden > 1 or cut:
        body = body[: row.longest]
    lines += [(("  ", "text"), (text, body_tone)) for text in body]
    if cut:
        lines.append((("  … the whole body: Enter", "dim"),))
    elif hidden > 1:
        lines.append(((f"  … {hidden} more lines: Enter", "dim"),))
    lines.append((("", "text"),))
    return lines


def who_tone(name: str) -> str:
    """Return the tone of a participant's name."""
    if name == OWNER:
        return "owner"
    return "strong" if name.startswith("manager") else "who"
