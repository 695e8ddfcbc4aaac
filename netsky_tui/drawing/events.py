"""What one actor does: turns, commands, patches, words, and the text that is being written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.events import EventKind
from netsky_tui.drawing.paragraphs import diff_stat
from netsky_tui.text import (
    Line,
    Span,
    beside,
    clock_time,
    harmless,
    one_line,
    shorten_path,
    wrap,
)

if TYPE_CHECKING:
    from netsky_runtime.fact_records import StoredEvent

LIVE_ROWS = 14
"""Rows of text that is being written."""
_BODY_ROWS = 8
_OUTPUT_ROWS = 3
_SCREEN_LINES, _SCREEN_ROWS = 14, 24
_QUIET = frozenset(
    {EventKind.RATE_LIMITS, EventKind.THREAD_STATUS, EventKind.USAGE, EventKind.DIFF}
)
_ENVELOPE = re.compile(
    r"<(?P<marker>netsky [^>]*)>\nfrom: (?P<sender>[^\n]*?) \(by .*?\n\n"
    r"(?P<body>.*?)\n</(?P=marker)>",
    re.DOTALL,
)
"""An envelope as comms/envelope.py writes it; anything else is shown as it is."""
_INDENT = " " * 9
_SECOND = 1000


@dataclass(frozen=True, slots=True)
class EventRow:
    """One happening."""

    key: str
    time: str
    glyph: str
    tone: str
    head: str
    right: str = ""
    right_tone: str = "dim"
    body: str = ""
    body_tone: str = "soft"
    body_rows: int = _BODY_ROWS
    tail: bool = False
    """Show the end of the body instead of its start."""

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        return f"{self.head} {self.right} {self.body}"


def rows(events: Sequence[StoredEvent], now: int) -> tuple[EventRow, ...]:
    """Turn facts, oldest first, into rows; an item's end replaces its beginning."""
    out: dict[tuple[str, str, str], EventRow] = {}
    warned: set[tuple[str, str]] = set()
    for event in events:
        if event.kind in _QUIET:
            continue
        if event.kind == EventKind.WARNING:
            # Codex says some of them at every turn, and they are its developers' affair.
            text = (event.thread_id, str(event.data.get("message", "")))
            if text in warned:
                continue
            warned.add(text)
        kind = event.kind
        item = kind in {EventKind.ITEM_STARTED, EventKind.ITEM_COMPLETED}
        key = (event.thread_id, event.turn_id, event.item_id if item else f"{kind}{event.seq}")
        time = clock_time(event.at, now, seconds=True)
        row = _row(event, time[-8:], ended=kind == EventKind.ITEM_COMPLETED)
        if row is not None:
            out[key] = row
    return tuple(out.values())


def live_rows(payload: Mapping[str, Any] | None) -> tuple[EventRow, ...]:
    """Turn the live text of an actor into rows that stand after its facts."""
    out = []
    for item in (payload or {}).get("items", ()):
        text = str(item.get("text", ""))
        if text.strip():
            stream = str(item.get("stream", "")).replace("_", " ")
            out.append(
                EventRow(
                    key=f"live:{item.get('item_id', '')}:{stream}",
                    time="    live",
                    glyph="▍",
                    tone="info",
                    head={"agent message": "writes", "reasoning": "thinks"}.get(stream, stream),
                    body=text[-4000:],
                    body_tone="text" if stream == "agent message" else "dim",
                    body_rows=LIVE_ROWS,
                    tail=True,
                )
            )
    return tuple(out)


def draw(row: EventRow, width: int) -> list[Line]:
    """Draw the head line and what belongs below it."""
    left: list[Span] = [
        (row.time + " ", "faint"),
        (row.glyph + " ", row.tone),
        (row.head, "text" if row.body else row.tone),
    ]
    lines: list[Line] = [beside(left, [(row.right, row.right_tone)], width)]
    if row.body:
        body = wrap(row.body, width - len(_INDENT) - 2)
        if row.tail:
            body = body[-row.body_rows :]
        elif len(body) > row.body_rows + 1:
            hidden = len(body) - row.body_rows
            body = [*body[: row.body_rows], f"… {hidden} more lines"]
        lines += [((_INDENT, "text"), ("│ ", "faint"), (text, row.body_tone)) for text in body]
    return lines


def _row(event: StoredEvent, time: str, *, ended: bool) -> EventRow | None:
    data = event.data
    key = f"{event.thread_id}:{event.turn_id}:{event.item_id}:{event.kind}:{event.seq}"
    match event.kind:
        case EventKind.ITEM_STARTED | EventKind.ITEM_COMPLETED:
            return _item(key, time, data, ended=ended)
        case EventKind.TURN_STARTED:
            return EventRow(key, time, "▶", "info", "turn started")
        case EventKind.TURN_COMPLETED:
            return _turn_end(key, time, data)
        case EventKind.APPROVAL_REQUESTED:
            what = one_line(str(data.get("command") or data.get("reason") or data.get("kind")))
            return EventRow(key, time, "▲", "warn", f"asks: {what}")
        case EventKind.APPROVAL_RESOLVED:
            outcome = one_line(str(data.get("outcome") or "answered"))
            return EventRow(key, time, "▲", "dim", f"approval {outcome}")
        case EventKind.TOOL_REQUESTED:
            return None  # the item of the call tells it
        case EventKind.PLAN:
            return EventRow(key, time, "≡", "accent", "plan", body=_plan(data), body_tone="dim")
        case _:
            return _notable(key, time, event)


def _notable(key: str, time: str, event: StoredEvent) -> EventRow:
    data = event.data
    match event.kind:
        case EventKind.ERROR | EventKind.WARNING:
            again = "  tries again" if data.get("will_retry") else ""
            tone = "bad" if event.kind == EventKind.ERROR else "dim"
            text = one_line(str(data.get("message", ""))) + again
            return EventRow(key, time, "✗" if tone == "bad" else "!", tone, text)
        case EventKind.SESSION_LOST:
            text = one_line(str(data.get("reason", "")))
            return EventRow(key, time, "✗", "bad", f"thread lost: {text}")
        case EventKind.BLOCKED:
            reason = one_line(str(data.get("reason") or ""))
            if not reason:
                return EventRow(key, time, "▲", "dim", "its screen is free again")
            screen = harmless(str(data.get("screen") or "")).strip("\n")
            foot = "\n".join(screen.splitlines()[-_SCREEN_LINES:])  # where Codex asks and listens
            body = f"{reason}\n{foot}".rstrip("\n")
            head = "its screen is blocked"
            return EventRow(key, time, "▲", "warn", head, body=body, body_rows=_SCREEN_ROWS)
        case EventKind.MODEL:
            model = one_line(str(data.get("model") or "?"))
            return EventRow(key, time, "≠", "warn", f"runs on {model} from here")
        case EventKind.RESYNC:
            return EventRow(key, time, "≈", "warn", "filled in from history")
        case EventKind.THREAD_STARTED:
            return EventRow(key, time, "+", "dim", "a thread of its own")
        case EventKind.UNKNOWN:
            name = one_line(str(data.get("method", "?")))
            return EventRow(key, time, "·", "faint", name)
        case _:
            return EventRow(key, time, "·", "faint", one_line(event.kind))


def _turn_end(key: str, time: str, data: Mapping[str, Any]) -> EventRow:
    status = str(data.get("status", ""))
    error = one_line(str(data.get("error") or ""))
    glyph, tone = {"completed": ("✓", "good"), "failed": ("✗", "bad")}.get(status, ("■", "warn"))
    return EventRow(key, time, glyph, tone, f"turn {status}" + (f": {error}" if error else ""))


def _item(key: str, time: str, data: Mapping[str, Any], *, ended: bool) -> EventRow | None:
    text = str(data.get("text") or "")
    match data.get("type"):
        case "user_message":
            head, body = _told(text)
            return EventRow(key, time, "←", "owner", head, body=body, body_rows=4)
        case "agent_message":
            return EventRow(key, time, "”", "strong", "said", body=text, body_tone="text")
        case "reasoning":
            if not text.strip():
                return None
            return EventRow(
                key, time, "∴", "dim", "thought", body=text, body_tone="dim", body_rows=3
            )
        case "command":
            return _command(key, time, data, ended=ended)
        case "file_change":
            return _file_change(key, time, data, ended=ended)
        case "tool_call" | "mcp_call":
            return _tool(key, time, data, ended=ended)
        case "web_search":
            return EventRow(key, time, "?", "info", f"searched {one_line(str(data.get('query')))}")
        case "plan":
            return EventRow(key, time, "≡", "accent", "plan", body=text, body_tone="dim")
        case _:
            name = one_line(str(data.get("name") or data.get("type") or "item"))
            return EventRow(key, time, "·", "faint", name)


def _told(text: str) -> tuple[str, str]:
    """Return who spoke and the words, without the envelope they came in."""
    # Instructions, which a resident is told as its first words, show what an envelope is like.
    found = list(_ENVELOPE.finditer(text)) if text.lstrip().startswith("<netsky ") else []
    if not found:
        return "was told", text
    senders = dict.fromkeys(one_line(match["sender"]) for match in found)
    words = "\n".join(match["body"] for match in found)
    for escaped, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        words = words.replace(escaped, character)
    return f"told by {', '.join(senders)}", words


def _command(key: str, time: str, data: Mapping[str, Any], *, ended: bool) -> EventRow:
    code = data.get("exit_code")
    right, tone = ("running", "info") if not ended else ("ended", "dim")
    if code is not None:
        right, tone = ("✓ exit 0", "good") if code == 0 else (f"✗ exit {code}", "bad")
    elif ended and data.get("status") in {"declined", "failed"}:
        right, tone = f"✗ {data['status']}", "bad"
    took = data.get("duration_ms")
    if ended and took is not None and took >= _SECOND:
        right += f" {took / 1000:.0f}s"
    output = str(data.get("output") or "").rstrip()
    # Progress bars overwrite their line; its last state is what counts.
    output = "\n".join(line.rsplit("\r", 1)[-1] for line in output.split("\n"))
    return EventRow(
        key,
        time,
        "$",
        "accent",
        one_line(str(data.get("command", ""))),
        right,
        tone,
        body="\n".join(harmless(output).split("\n")[-_OUTPUT_ROWS:]),
        body_tone="dim",
        body_rows=_OUTPUT_ROWS,
        tail=True,
    )


def _file_change(key: str, time: str, data: Mapping[str, Any], *, ended: bool) -> EventRow:
    changes = [change for change in data.get("changes") or () if isinstance(change, Mapping)]
    stats = [diff_stat(str(change.get("diff") or "")) for change in changes]
    added, removed = sum(a for a, _ in stats), sum(r for _, r in stats)
    paths = [shorten_path(str(change.get("path", "")), 60) for change in changes]
    head = paths[0] if len(paths) == 1 else f"{len(paths)} files"
    status = str(data.get("status") or "")
    right, tone = f"+{added} -{removed}", "good" if ended else "info"
    if status in {"declined", "failed"}:
        right, tone = f"✗ {status}", "bad"
    body = "\n".join(paths) if len(paths) > 1 else ""
    return EventRow(key, time, "±", "accent", head, right, tone, body=body, body_tone="dim")


def _tool(key: str, time: str, data: Mapping[str, Any], *, ended: bool) -> EventRow:
    name = one_line(".".join(str(data[k]) for k in ("server", "tool") if data.get(k)))
    arguments = data.get("arguments")
    said = (
        ", ".join(f"{k}={v}" for k, v in arguments.items())
        if isinstance(arguments, Mapping)
        else ""
    )
    failed = data.get("success") is False or data.get("status") == "failed"
    right, tone = ("✓", "good") if ended and not failed else ("running", "info")
    if failed:
        right, tone = "✗ failed", "bad"
    result = str(data.get("result") or "") if failed else ""
    return EventRow(
        key, time, "⚒", "accent", f"{name} {one_line(said)}".strip(), right, tone, body=result
    )


def _plan(data: Mapping[str, Any]) -> str:
    glyph = {"completed": "✓", "inProgress": "▶", "in_progress": "▶"}
    steps = [step for step in data.get("steps") or () if isinstance(step, Mapping)]
    return "\n".join(f"{glyph.get(str(s.get('status')), '○')} {s.get('step', '')}" for s in steps)
