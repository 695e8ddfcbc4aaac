"""The tab line of a narrow room and the line of keys."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from netsky_tui.keymap import SCOPES, Key, Keymap, pretty
from netsky_tui.text import Line, Span, line_width

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

TABS = ("actors", "tasks", "messages", "events", "attention")
_NAMES = {"attention": "waiting"}
"""Of tabs that are not called as they are named."""
_ROOMY = 76
"""Columns from which on tabs have their whole names."""


def tabs(
    active: str, *, actor: str, blocked: int, waiting: int, urgent: int, unread: int, width: int
) -> Line:
    """Draw the tabs; the active one in brackets too, what waits with its count.

    ``actor`` is whose events there are: it is named where they are shown and that fits.
    """
    badges: dict[str, tuple[str, int, str]] = {
        "actors": ("▲", blocked, "warn"),
        "messages": ("●", unread, "dim"),
        "attention": ("▲", waiting, "alarm" if urgent else "warn"),
    }
    names = {name: _NAMES.get(name, name) for name in TABS}
    if width < _ROOMY:
        names = {name: shown[:5].rstrip("ao") for name, shown in names.items()}
    if active == "events" and actor:
        named = _tabs(active, {**names, "events": f"{names['events']} · {actor}"}, badges)
        if line_width(named) <= width:
            return named
    return _tabs(active, names, badges)


def _tabs(
    active: str, names: Mapping[str, str], badges: Mapping[str, tuple[str, int, str]]
) -> Line:
    out: list[Span] = []
    for number, (name, shown) in enumerate(names.items(), start=1):
        glyph, count, tone = badges.get(name, ("", 0, ""))
        text = f"{number} {shown} {glyph}{count}" if count else f"{number} {shown}"
        if name == active:
            out.append((f"[{text}]", "strong"))
        else:
            out.append((f" {text} ", tone if count else "dim"))
        out.append((" ", "text"))
    return tuple(out)


def keys(
    scopes: Sequence[str],
    keymap: Keymap,
    width: int,
    *,
    typing: bool = False,
    without: Collection[Key] = (),
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Line:
    """Draw as many keys of these scopes as fit, whole ones only; ``without`` do nothing now.

    ``labels`` say what some do here and now, by their names.

    While ``typing``, keys that are a character are left out: they would be typed.
    """
    out: list[Span] = []
    used = 0
    for scope in scopes:
        for entry in SCOPES[scope]:
            key = pretty(keymap.of(entry).split(",")[0])
            if not entry.label or entry in without or (typing and len(key) == 1):
                continue
            label = labels.get(entry.id, entry.label)
            spans = ((f" {key}", "key"), (f" {label} ", "dim"))
            used += line_width(spans)
            if used > width:
                return tuple(out)
            out += spans
    return tuple(out)
