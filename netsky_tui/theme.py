"""netsky's own colours: a calm dark room, a light one, and one for terminals with 16 colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = 100

DARK = Theme(
    name="netsky-dark",
    primary="#7aa2c8",
    secondary="#8b90a8",
    accent="#c9a26d",
    foreground="#d3d7de",
    background="#14171c",
    surface="#181c22",
    panel="#20252d",
    success="#8fb573",
    warning="#e0a84f",
    error="#e06c6c",
    dark=True,
    variables={
        "room-line": "#2f3641",
        "room-tree": "#4a5260",
        "room-dim": "#8a919e",
        "room-faint": "#5d6470",
        "room-soft": "#b4bac5",
        "room-owner": "#d8b4e2",
        "room-who": "#9cc3c9",
        "room-cursor": "#232a34",
        "room-alarm-text": "#14171c",
        "room-add-back": "#1a2a20",
        "room-del-back": "#2e1d21",
        "border": "#7aa2c8",
        "scrollbar": "#2b313b",
        "scrollbar-hover": "#3a424f",
        "scrollbar-active": "#7aa2c8",
        "scrollbar-background": "#14171c",
        "scrollbar-background-hover": "#14171c",
        "scrollbar-background-active": "#14171c",
    },
)
LIGHT = Theme(
    name="netsky-light",
    primary="#2f628f",
    secondary="#61677c",
    accent="#8a5a14",
    foreground="#23272e",
    background="#f6f5f1",
    surface="#fbfaf7",
    panel="#e9e7e1",
    success="#3c6e21",
    warning="#8f5b00",
    error="#ad2a2a",
    dark=False,
    variables={
        "room-line": "#d2cfc6",
        "room-tree": "#b4b0a5",
        "room-dim": "#626874",
        "room-faint": "#8d929c",
        "room-soft": "#3d434d",
        "room-owner": "#7a3f8c",
        "room-who": "#24686f",
        "room-cursor": "#e4e8ee",
        "room-alarm-text": "#fbfaf7",
        "room-add-back": "#e2efda",
        "room-del-back": "#f6dfdd",
    },
)
SIXTEEN = Theme(
    name="netsky-16",
    primary="#55ffff",
    secondary="#00aaaa",
    accent="#aa5500",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#0000aa",
    success="#55ff55",
    warning="#ffff55",
    error="#ff5555",
    dark=True,
    variables={
        "room-line": "#aaaaaa",
        "room-tree": "#aaaaaa",
        "room-dim": "#aaaaaa",
        "room-faint": "#aaaaaa",
        "room-soft": "#aaaaaa",
        "room-owner": "#ff55ff",
        "room-who": "#00aaaa",
        "room-cursor": "#0000aa",
        "room-alarm-text": "#000000",
        "room-add-back": "#000000",
        "room-del-back": "#000000",
        "border": "#55ffff",
        "scrollbar": "#aaaaaa",
        "scrollbar-hover": "#ffffff",
        "scrollbar-active": "#55ffff",
        "scrollbar-background": "#000000",
        "scrollbar-background-hover": "#000000",
        "scrollbar-background-active": "#000000",
    },
)
"""All of these are colours of such a terminal: any other becomes the nearest of them, which for the
calm ones is grey, and for frames next to nothing. Bright black is left out: some cannot show it."""
_FALLBACK = {
    "room-line": ("foreground", 18),
    "room-tree": ("foreground", 30),
    "room-dim": ("foreground", 65),
    "room-faint": ("foreground", 45),
    "room-soft": ("foreground", 85),
    "room-owner": ("secondary", 100),
    "room-who": ("primary", 100),
    "room-cursor": ("foreground", 10),
    "room-alarm-text": ("background", 100),
    "room-add-back": ("success", 12),
    "room-del-back": ("error", 12),
}


def fitting(colours: str | None) -> Theme:
    """Return the theme a room begins with where the terminal has these, as Rich names them."""
    return SIXTEEN if colours == "standard" else DARK


def complete(variables: Mapping[str, str]) -> dict[str, str]:
    """Add what Textual's own themes lack, mixed from what they have."""
    out = dict(variables)
    for name, (base, percent) in _FALLBACK.items():
        if name not in out:
            color = variables[base]
            plain = percent == _WHOLE or color.startswith("ansi")
            out[name] = color if plain else f"{color} {percent}%"
    return out
