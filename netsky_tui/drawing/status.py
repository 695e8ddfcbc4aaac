"""The status line: what must not be lost comes first, what does not fit goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime import counting
from netsky_runtime.attention.items import Urgency
from netsky_tui.drawing import gauges
from netsky_tui.store import LinkState, Store
from netsky_tui.text import Line, Span, line_width, one_line, truncate

if TYPE_CHECKING:
    from netsky_runtime.budgets import Gauge

_LINK = {
    LinkState.STARTING: ("…", "starting", "info"),
    LinkState.HOSTING: ("●", "hosting", "good"),
    LinkState.ATTACHED: ("◉", "attached", "good"),
    LinkState.RECONNECTING: ("!", "reconnecting…", "warn"),
    LinkState.FAILED: ("✗", "no daemon", "bad"),
    LinkState.STOPPED: ("✗", "stopped", "bad"),
    LinkState.STOPPING: ("…", "stopping", "warn"),
}
_GAP: Span = ("  ", "text")
_WORTH = 12
"""Cells below which the start of a reason says nothing."""


def draw(store: Store, width: int) -> Line:
    """Draw the status line in at most ``width`` cells."""
    daemon, totals = store.daemon, store.snapshot.totals
    glyph, word, tone = _LINK[daemon.link]
    names = dict.fromkeys((daemon.runtime, daemon.codex_version))
    runtime = " ".join(name for name in names if name)
    # (importance, spans): the least important segments are left out first.
    segments: list[tuple[int, list[Span]]] = [
        (0, [(f" {glyph} {word}", tone)]),
        (5, [(f"pid {daemon.pid} epoch {daemon.epoch}", "dim")] if daemon.pid else []),
        (4, [(one_line(runtime), "dim")] if runtime else []),
        (2, [_count("▶", totals.turns_running, "turn", "info")]),
        (0, [_count("▲", _waiting(store, Urgency.NOW), "waiting", "alarm", plural="waiting")]),
        *((1, [_count(*words, plural=words[2])]) for words in _less_urgent(store)),
        (1, _held(store)),
        (1, [_count("●", totals.unread, "unread", "accent", plural="unread")]),
        *(_gauge(gauge) for gauge in _budgets(store)),
        (6, [_count("", totals.tasks_open, "open task", "dim")]),
        (7, [(f"{daemon.rooms} rooms", "dim")] if daemon.rooms > 1 else []),
    ]
    shown = [(rank, spans) for rank, spans in segments if spans]
    notice = _notice(store)
    room = width - (min(line_width(notice) + 2, width // 3) if notice else 0)
    while len(shown) > 1 and line_width(_join(shown)) > room:
        shown.remove(max(shown, key=_least))
    line = _join(shown)
    held, left = _held(store), room - line_width(line) - line_width([_GAP])
    if held and (1, held) not in shown and left >= _WORTH:
        line = (*line, _GAP, *truncate(held, left))
    if notice:
        line = (*line, _GAP, *notice)
    return truncate(line, width)


def _least(segment: tuple[int, list[Span]]) -> tuple[int, bool, int]:
    """Order what is left out: by rank, of equals what counts nothing, then the longest."""
    rank, spans = segment
    return rank, all(tone == "faint" for _, tone in spans), line_width(spans)


def _join(segments: list[tuple[int, list[Span]]]) -> Line:
    out: list[Span] = []
    for index, (_, spans) in enumerate(segments):
        if index:
            out.append(_GAP)
        out += spans
    return tuple(out)


def _count(glyph: str, count: int, word: str, tone: str, *, plural: str = "") -> Span:
    words = word if count == 1 else plural or f"{word}s"
    text = f"{glyph} {count} {words}".strip()
    if not count:
        return (text, "faint")
    return (f" {text} " if tone == "alarm" else text, tone)


def _waiting(store: Store, urgency: Urgency) -> int:
    return store.snapshot.totals.waiting.get(urgency, 0)


def _less_urgent(store: Store) -> list[tuple[str, int, str, str]]:
    """Return what waits and keeps nobody from going on, if anything does."""
    found = (
        ("◇", _waiting(store, Urgency.SOON), "held", "warn"),
        ("✗", _waiting(store, Urgency.LATER), "failed", "bad"),
    )
    return [words for words in found if words[1]]


def _held(store: Store) -> list[Span]:
    hold = store.snapshot.hold
    return [(one_line(hold.reason), "warn")] if hold is not None else []


def _gauge(gauge: Gauge) -> tuple[int, list[Span]]:
    return (2 if gauges.warns(gauge) else 3, [gauges.short(gauge)])


def _budgets(store: Store) -> list[Gauge]:
    """Return the budgets of the day and of whoever is selected."""
    known, chosen = store.snapshot.gauges, store.snapshot.events_of
    return [each for each in (gauges.day(known), gauges.of_actor(known, chosen)) if each]


def _notice(store: Store) -> Line:
    daemon = store.daemon
    if (
        daemon.link in {LinkState.RECONNECTING, LinkState.FAILED, LinkState.STOPPED}
        and daemon.detail
    ):
        return ((one_line(daemon.detail), "bad"),)
    count = len(store.fresh_notices) - bool(store.alarm)
    if count:
        words = counting.count(count, "notice")
        return ((f"! {words}: {store.notices_key}", "warn"),)
    if daemon.link is LinkState.STARTING and daemon.detail:
        return ((one_line(daemon.detail), "dim"),)
    return ()
