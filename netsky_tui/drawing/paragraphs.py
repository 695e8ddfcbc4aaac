"""Documents for reading: paragraphs that wrap, headings, code and patches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from netsky_runtime.beside import beside
from netsky_runtime.states import ApprovalKind, DecisionWord
from netsky_tui.text import Line, Span, cells, harmless, one_line, pad, wrap
from netsky_tui.words import APPROVAL, ASKS

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Approval


@dataclass(frozen=True, slots=True)
class Para:
    """A paragraph: plain text in one tone, wrapped; ``label`` stands before its first row."""

    key: str
    text: str
    tone: str = "text"
    label: str = ""
    indent: int = 0
    hang: int = 0
    """Cells by which rows after the first are indented further."""

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        return self.text


_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_HEADS = ("+++", "---", "diff ", "index ", "***")
_FILLED = frozenset({"add", "del"})
_SIGN = 4
"""So far are the rest of a long patch line indented, so that no row of it looks like a sign."""


def draw(para: Para, width: int) -> list[Line]:
    """Draw a paragraph; rows after the first are indented below it."""
    margin = " " * para.indent
    hang = cells(para.label) + para.indent
    rows = wrap(para.text, width - hang - para.hang)
    lines: list[Line] = []
    for index, row in enumerate(rows):
        head: Span = (margin + para.label, "dim") if index == 0 else (" " * hang, "text")
        shown = row if index == 0 else " " * para.hang + row
        if para.tone in _FILLED:
            shown = pad(shown, width - hang)
        lines.append((head, (shown, para.tone)))
    return lines


class Writer:
    """Collects paragraphs and gives each a key."""

    def __init__(self) -> None:
        self._paras: list[Para] = []

    def add(self, text: str, tone: str = "text", *, label: str = "", indent: int = 0) -> None:
        """Append a paragraph."""
        self._paras.append(Para(str(len(self._paras)), text, tone, label, indent))

    def field(self, name: str, value: str, tone: str = "text") -> None:
        """Append a named value; nothing when the value is empty."""
        if value:
            self.add(value, tone, label=f"{name:<12}")

    def heading(self, text: str) -> None:
        """Append a heading with a free line before it."""
        if self._paras:
            self.add("")
        self.add(text, "heading")

    def patch(self, text: str) -> None:
        """Append a unified diff, line by line; the signs stay, colours are added."""
        for line, tone in diff_tones(text.rstrip("\n").split("\n")):
            self._paras.append(Para(str(len(self._paras)), line, tone, hang=_SIGN))

    def done(self) -> tuple[Para, ...]:
        """Return what was collected."""
        return tuple(self._paras)


def diff_tones(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each line of a unified diff with its tone.

    Hunks are counted, so that a removed ``-- comment`` is a removal and not a file's name.
    """
    old = new = 0
    for line in lines:
        sign = line[:1]
        if (found := _HUNK.match(line)) is not None and old <= 0 and new <= 0:
            old, new = (int(count) if count else 1 for count in found.groups())
            yield line, "hunk"
        elif old <= 0 and new <= 0 and line.startswith(_HEADS):
            yield line, "strong"
        else:
            old -= sign != "+"
            new -= sign != "-"
            yield line, {"+": "add", "-": "del", "@": "hunk"}.get(sign, "dim")


def diff_stat(patch: str) -> tuple[int, int]:
    """Count added and removed lines of a unified diff."""
    tones = [tone for _, tone in diff_tones(patch.split("\n"))]
    return tones.count("add"), tones.count("del")


def approval_document(
    approval: Approval, *, doing: str = "", keys: Mapping[str, str] = MappingProxyType({})
) -> tuple[Para, ...]:
    """Write everything needed to decide: who, what, where, why, the patch, the choices.

    ``keys`` do something else than decide it.
    """
    out = Writer()
    out.add(f"{approval.actor_id} {ASKS[approval.kind]}", "strong")
    if approval.command:
        out.add("")
        for index, line in enumerate(approval.command.split("\n")):
            out.add(line, "code", label="$ " if index == 0 else "  ")
    out.add("")
    for more in beside(approval.raw):
        out.field("asks also", more, "warn")
    out.field("in", approval.cwd)
    out.field("because", approval.reason)
    if approval.patch:
        added, removed = diff_stat(approval.patch)
        out.field("patch", f"+{added} -{removed} lines")
        out.add("")
        out.patch(approval.patch)
    for number, question in enumerate(approval.questions, start=1):
        _question(out, number, question)
    if approval.kind is ApprovalKind.PERMISSIONS or not _says_something(approval):
        _raw(out, approval.raw)
    out.add("")
    mark = APPROVAL[approval.status]
    if doing:
        out.add(doing, "accent")
    elif approval.decided_by:
        out.add(f"{mark.glyph} {mark.word} by {approval.decided_by}", mark.tone)
    else:
        out.add(f"{mark.glyph} {mark.word}", mark.tone)
    out.field("why", approval.lost_reason)
    out.field("repeats", approval.repeats_id)
    out.field("repeated by", approval.successor_id or approval.asked_again_input)
    if keys:
        out.add("")
    for key, label in keys.items():
        out.add(label, "dim", label=f"{key}  ")
    return out.done()


def offered(approval: Approval) -> tuple[DecisionWord, ...]:
    """Return the decisions Codex takes for this question; all when it does not say."""
    known = {word.value for word in DecisionWord}
    words = [DecisionWord(word) for word in approval.available_decisions if word in known]
    return tuple(words) or tuple(DecisionWord)


def question_id(question: Mapping[str, Any], number: int) -> str:
    """Return the name an answer to this question goes by."""
    return str(question.get("id") or number)


def choices(question: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (label, description) of what a question offers."""
    out = []
    for option in question.get("options") or ():
        if isinstance(option, Mapping):
            out.append((str(option.get("label", "")), str(option.get("description") or "")))
        else:
            out.append((str(option), ""))
    return tuple(out)


def _question(out: Writer, number: int, question: Mapping[str, Any]) -> None:
    out.add("")
    header = one_line(str(question.get("header") or ""))
    text = str(question.get("question") or question.get("title") or header)
    out.add(text, "strong", label=f"{number}. ")
    for label, about in choices(question):
        out.add(f"{label} — {about}" if about else label, label="   • ")


def _says_something(approval: Approval) -> bool:
    return bool(approval.command or approval.patch or approval.questions or approval.reason)


def _raw(out: Writer, raw: Mapping[str, Any]) -> None:
    for name, value in _flat(raw):
        out.field(name, value)


def _flat(raw: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    hidden = {"threadId", "turnId", "itemId", "conversationId", "callId"}
    for name, value in raw.items():
        if name in hidden or value in (None, "", [], {}):
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", text) for inner, text in _flat(value))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield name, ", ".join(harmless(str(part)) for part in value)
        else:
            yield name, str(value)
