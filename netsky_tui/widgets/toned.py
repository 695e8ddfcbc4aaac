"""Tones: names of styles that plain text is drawn in, resolved by the style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip
from textual.style import Style as VisualStyle
from textual.widget import Widget

from netsky_tui.text import Line, line_width, truncate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style
    from textual.css.styles import StylesBase

TONES = (
    "text",
    "soft",
    "strong",
    "heading",
    "dim",
    "faint",
    "tree",
    "good",
    "warn",
    "bad",
    "info",
    "accent",
    "alarm",
    "owner",
    "who",
    "code",
    "add",
    "del",
    "hunk",
    "strip",
    "strip-strong",
    "key",
)
COMPONENTS = {f"tone--{tone}" for tone in TONES}
"""Component classes of an app with toned widgets: resolved once, not by each of its widgets."""


class ToneCache:
    """Lays the app's tones on what one widget is painted in; ``clear`` when its style changes."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._styles: dict[tuple[str, str], Style] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._styles.clear()

    def style(self, tone: str, under: str = "") -> Style:
        """Return the style of a tone; ``under`` is a component class of the app that lies below."""
        key = (tone, under)
        if (found := self._styles.get(key)) is None:
            paint = self._widget.visual_style
            for name in filter(None, (under, f"tone--{tone}")):
                paint += _coat(self._widget.app.get_component_styles(name))
            found = paint.rich_style
            self._styles[key] = found
        return found

    def strip(
        self, line: Line, width: int, under: str = "", *, lead: Sequence[Segment] = ()
    ) -> Strip:
        """Draw a line in exactly ``width`` cells."""
        room = width - sum(segment.cell_length for segment in lead)
        fitted = truncate(line, room)
        segments = [*lead, *(Segment(text, self.style(tone, under)) for text, tone in fitted)]
        rest = room - line_width(fitted)
        if rest > 0:
            segments.append(Segment(" " * rest, self.style("text", under)))
        return Strip(segments, width)


def _coat(styles: StylesBase) -> VisualStyle:
    """Return what a component says, and nothing of what it leaves open."""
    colours = VisualStyle(
        styles.background if styles.has_rule("background") else None,
        styles.color if styles.has_rule("color") else None,
    )
    return VisualStyle.from_rich_style(styles.text_style) + colours


class LineView(Widget):
    """One line of toned text; set it as often as you like, it repaints when it differs."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._tones = ToneCache(self)
        self.line: Line = ()

    def set_line(self, line: Line) -> None:
        """Show ``line``."""
        if line != self.line:
            self.line = line
            self.refresh()

    def notify_style_update(self) -> None:
        """Drop styles of the old theme."""
        super().notify_style_update()
        self._tones.clear()

    def render_line(self, y: int) -> Strip:
        """Draw the line; anything below it is blank."""
        return self._tones.strip(self.line if y == 0 else (), self.size.width)
