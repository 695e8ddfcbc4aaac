"""One list for everything: draws only what is visible, however many rows there are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from rich.segment import Segment
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.scroll_view import ScrollView

from netsky_tui.keymap import bindings
from netsky_tui.text import Line, wrap
from netsky_tui.widgets.toned import ToneCache

if TYPE_CHECKING:
    from textual import events
    from textual.binding import BindingType
    from textual.strip import Strip


class Row(Protocol):
    """What a list can show: equal rows look the same."""

    @property
    def key(self) -> str:
        """Names the row across changes."""
        ...

    def __hash__(self) -> int: ...


T = TypeVar("T", bound=Row)
Draw = Callable[[T, int], Sequence[Line]]
_MARGIN = 1
COMPONENTS = {"rows--cursor", "rows--cursor-focus"}
"""Component classes of an app with lists, beside those of tones."""


class RowsView(ScrollView, Generic[T], can_focus=True):
    """Rows with a cursor.

    ``draw`` turns a row into its lines at a width and must be pure. ``height`` says how many lines
    every row takes; without it rows are measured by drawing them, which is for lists of at most
    a few thousand rows. ``tail`` keeps the newest row in view until the operator scrolls away,
    ``lead`` the first one, under the cursor, until the operator goes into the list or scrolls it.
    """

    DEFAULT_CSS = """
    RowsView {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        background: $background;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("rows")

    virtual_size = Reactive(Size(0, 0))
    """Its own, because Textual's lays the whole screen out anew whenever a row comes."""

    class Moved(Message):
        """The cursor is on another row, by the operator's hand or not."""

        def __init__(self, view: RowsView[Row], key: str, *, by_hand: bool) -> None:
            super().__init__()
            self.view, self.key, self.by_hand = view, key, by_hand

        @property
        def control(self) -> RowsView[Row]:
            """The list."""
            return self.view

    class Chosen(Message):
        """Enter or a double click on a row."""

        def __init__(self, view: RowsView[Row], key: str) -> None:
            super().__init__()
            self.view, self.key = view, key

        @property
        def control(self) -> RowsView[Row]:
            """The list."""
            return self.view

    class Top(Message):
        """The operator wants to see what is before the first row."""

        def __init__(self, view: RowsView[Row]) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> RowsView[Row]:
            """The list."""
            return self.view

    def __init__(
        self,
        draw: Draw[T],
        *,
        height: Callable[[int], int] | None = None,
        tail: bool = False,
        lead: bool = False,
        cursor: bool = True,
        empty: str = "",
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self._draw, self._height, self._tail, self._has_cursor = draw, height, tail, cursor
        self._lead = lead
        self.empty = empty
        self.rows: Sequence[T] = ()
        self.cursor = 0
        self._places: dict[str, int] | None = None
        self._offsets: list[int] = [0]
        self._pinned = True
        self._adjusting = False
        self._tones = ToneCache(self)
        self._strips: LRUCache[tuple[T, int, str], list[Strip]] = LRUCache(512)
        self._lines: LRUCache[tuple[T, int], Sequence[Line]] = LRUCache(4096)

    # -- rows ------------------------------------------------------------------------------

    @property
    def current(self) -> T | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def set_rows(self, rows: Sequence[T]) -> None:
        """Show these rows; the cursor stays on its row, the view on what it showed."""
        if rows == self.rows:
            return
        before = self.current
        at_last = self.cursor >= len(self.rows) - 1
        anchor, within = self._top_row()
        self.rows, self._places = rows, None
        self._measure()
        place = self._place(before.key) if before is not None else None
        if self._tail and self._pinned and at_last:
            place = len(rows) - 1
        elif self._lead:
            place = 0
        self.cursor = max(0, min(self.cursor if place is None else place, len(rows) - 1))
        self._restore(anchor, within)
        self.refresh()
        after = self.current
        if after is not None and (before is None or before.key != after.key):
            self.post_message(self.Moved(self, after.key, by_hand=False))  # type: ignore[arg-type]  # Generic view

    def select(self, key: str) -> bool:
        """Put the cursor on a row; False when it is not there."""
        place = self._place(key)
        if place is None:
            return False
        self._move(place)
        return True

    def visible_rows(self) -> Sequence[T]:
        """Return the rows of which something is on the screen."""
        if not self.rows or not self.size.height:
            return ()
        top = int(self.scroll_y)
        first, _ = self._locate(top)
        last, _ = self._locate(top + self.size.height - 1)
        return self.rows[first : last + 1]

    def _place(self, key: str) -> int | None:
        if self._places is None:
            self._places = {row.key: index for index, row in enumerate(self.rows)}
        return self._places.get(key)

    def _top_row(self) -> tuple[str | None, int]:
        if not self.rows:
            return None, 0
        index, within = self._locate(int(self.scroll_y))
        return (self.rows[index].key, within) if index < len(self.rows) else (None, 0)

    def _restore(self, anchor: str | None, within: int) -> None:
        if self._tail and self._pinned:
            target = self.virtual_size.height
        elif self._lead:
            target = 0
        elif anchor is not None and (place := self._place(anchor)) is not None:
            target = self._start(place) + within
        else:
            return
        self._adjusting = True
        try:
            self.scroll_to(y=target, animate=False, immediate=True, force=True)
        finally:
            self._adjusting = False

    # -- geometry --------------------------------------------------------------------------

    @property
    def _room(self) -> int:
        return self.scrollable_content_region.width

    @property
    def _width(self) -> int:
        return max(1, self._room - _MARGIN)

    def _measure(self) -> None:
        if self._height is not None:
            total = len(self.rows) * self._height(self._width)
        else:
            offsets = [0]
            total = 0
            if self._room:
                for row in self.rows:
                    total += len(self._drawn(row))
                    offsets.append(total)
            self._offsets = offsets
        self.virtual_size = Size(self._room, total)
        self._adjusting = True
        try:
            self._scroll_update(self.virtual_size)
        finally:
            self._adjusting = False

    def _drawn(self, row: T) -> Sequence[Line]:
        key = (row, self._width)
        if (found := self._lines.get(key)) is None:
            found = self._draw(row, self._width)
            self._lines[key] = found
        return found

    def _start(self, index: int) -> int:
        if self._height is not None:
            return index * self._height(self._width)
        return self._offsets[min(index, len(self._offsets) - 1)]

    def _locate(self, line: int) -> tuple[int, int]:
        if self._height is not None:
            return divmod(line, self._height(self._width))
        index = max(0, bisect_right(self._offsets, line) - 1)
        return index, line - self._offsets[index]

    def on_resize(self) -> None:
        """Measure again: rows wrap. A view that follows its end stays there."""
        anchor, within = self._top_row()
        self._measure()
        self._restore(anchor, within)
        if not (self._tail and self._pinned):
            self._keep_cursor()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Note whether the newest row is still in view."""
        super().watch_scroll_y(old_value, new_value)
        if not self._adjusting:
            self._pinned, self._lead = new_value >= self.max_scroll_y, False
            if new_value <= 0 and old_value > 0:
                self.post_message(self.Top(self))  # type: ignore[arg-type]  # Generic view

    # -- drawing ---------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        """Drop strips of the old theme."""
        super().notify_style_update()
        self._tones.clear()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        width = self._room
        if not self.rows:
            return self._render_empty(y, width)
        index, within = self._locate(y + int(self.scroll_y))
        if index >= len(self.rows):
            return self._tones.strip((), width)
        strips = self._row_strips(index, width)
        return strips[within] if within < len(strips) else self._tones.strip((), width)

    def _render_empty(self, y: int, width: int) -> Strip:
        lines = wrap(self.empty, width - 4)
        start = max(0, min(2, (self.size.height - len(lines)) // 2))
        text = lines[y - start] if 0 <= y - start < len(lines) else ""
        return self._tones.strip(((f"  {text}", "dim"),), width)

    def _row_strips(self, index: int, width: int) -> list[Strip]:
        row = self.rows[index]
        under = ""
        if self._has_cursor and index == self.cursor:
            under = "rows--cursor-focus" if self.has_focus else "rows--cursor"
        key = (row, width, under)
        if (found := self._strips.get(key)) is None:
            mark = {"": " ", "rows--cursor": "▏", "rows--cursor-focus": "▌"}[under]
            style = self._tones.style("info" if under else "text", under)
            lead = [Segment(mark, style)]
            found = [self._tones.strip(line, width, under, lead=lead) for line in self._drawn(row)]
            self._strips[key] = found
        return found

    def on_focus(self) -> None:
        """Draw the cursor anew, and leave it to the operator."""
        self._lead = False
        self.refresh()

    def on_blur(self) -> None:
        """Draw the cursor anew."""
        self.refresh()

    # -- moving ----------------------------------------------------------------------------

    def _move(self, place: int) -> None:
        place = max(0, min(place, len(self.rows) - 1))
        if not self.rows or place == self.cursor:
            self._keep_cursor()
            return
        self.cursor, self._lead = place, False
        self.refresh()
        self._show_cursor()
        self.post_message(self.Moved(self, self.rows[place].key, by_hand=True))  # type: ignore[arg-type]  # Generic view

    def _show_cursor(self) -> None:
        if not self._has_cursor or not self.rows or not self.size.height:
            return
        top = self._start(self.cursor)
        height = self._start(self.cursor + 1) - top
        region = Region(0, top, self._width, min(height, self.size.height))
        self.scroll_to_region(region, animate=False, force=True, immediate=True)

    def _keep_cursor(self) -> None:
        """Show the row under the cursor, but not from its start while a tall one is being read."""
        seen = self._start(self.cursor) < self.scroll_y + self.size.height
        if not (self._is_tall() and seen and self._start(self.cursor + 1) > self.scroll_y):
            self._show_cursor()

    def action_up(self) -> None:
        """Go one row up, or one line where the row is taller than the view."""
        if not self._has_cursor or self._goes_on(-1):
            self.scroll_relative(y=-1, animate=False, immediate=True)
        elif self.cursor == 0:
            self.post_message(self.Top(self))  # type: ignore[arg-type]  # Generic view
        else:
            self._move(self.cursor - 1)

    def action_down(self) -> None:
        """Go one row down, or one line where the row is taller than the view."""
        if not self._has_cursor or self._goes_on(1):
            self.scroll_relative(y=1, animate=False, immediate=True)
        else:
            self._move(self.cursor + 1)

    def _is_tall(self) -> bool:
        return self._start(self.cursor + 1) - self._start(self.cursor) > self.size.height

    def _goes_on(self, direction: int) -> bool:
        """Whether the row under the cursor is taller than the view and goes on that way."""
        if direction < 0:
            beyond = self._start(self.cursor) < self.scroll_y
        else:
            beyond = self._start(self.cursor + 1) > self.scroll_y + self.size.height
        return beyond and self._is_tall()

    def action_page_up(self) -> None:
        """Go a page up."""
        self._page(-1)

    def action_page_down(self) -> None:
        """Go a page down."""
        self._page(1)

    def _page(self, direction: int) -> None:
        step = max(1, self.size.height - 1)
        if not self._has_cursor or self._goes_on(direction):
            self.scroll_relative(y=direction * step, animate=False, immediate=True)
            return
        target = self._start(self.cursor) + direction * step
        place, _ = self._locate(max(0, target))
        self._move(place if place != self.cursor else self.cursor + direction)

    def action_first(self) -> None:
        """Go to the first row."""
        if self._has_cursor:
            self._move(0)
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        """Go to the last row."""
        if self._has_cursor:
            self._move(len(self.rows) - 1)
        self.scroll_end(animate=False, immediate=True)

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if (row := self.current) is not None:
            self.post_message(self.Chosen(self, row.key))  # type: ignore[arg-type]  # Generic view

    def on_click(self, event: events.Click) -> None:
        """Select the row under the mouse; a double click opens it."""
        offset = event.get_content_offset(self)
        if offset is None or not self._has_cursor or not self.rows:
            return
        index, _ = self._locate(offset.y + int(self.scroll_y))
        if index < len(self.rows):
            self._move(index)
            if event.chain > 1:
                self.action_choose()
