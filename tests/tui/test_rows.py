from __future__ import annotations

import asyncio
from dataclasses import dataclass

from textual.app import App

from netsky_tui.widgets import rows, toned
from netsky_tui.widgets.rows import RowsView
from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Plain:
    key: str
    lines: int = 1


class Counting:
    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, row, width):
        self.drawn += 1
        return [((f"{row.key}.{line}", "text"),) for line in range(row.lines)]


class ListApp(App):
    COMPONENT_CLASSES = toned.COMPONENTS | rows.COMPONENTS

    def __init__(self, view) -> None:
        super().__init__()
        self.view = view

    def compose(self):
        yield self.view


def shown(view) -> list[str]:
    return [view.render_line(y).text.strip() for y in range(view.size.height)]


async def make_room(pilot, view, height: int) -> None:
    await pilot.resize_terminal(40, height)
    async with asyncio.timeout(PATIENCE):
        while view.size.height != height:
            await pilot.pause()
    await pilot.pause()


async def test_a_hundred_thousand_rows_draw_only_what_is_visible():
    draw = Counting()
    view = RowsView(draw, height=lambda _width: 1)
    async with ListApp(view).run_test(size=(40, 20)) as pilot:
        view.set_rows([Plain(str(number)) for number in range(100_000)])
        await pilot.pause()
        view.action_last()
        await pilot.pause()
        assert shown(view)[-1].endswith("99999.0")
        assert draw.drawn < 100


async def test_the_cursor_stays_on_its_row_when_rows_come_before_it():
    view = RowsView(Counting(), height=lambda _width: 1)
    async with ListApp(view).run_test(size=(40, 20)) as pilot:
        view.set_rows([Plain("b"), Plain("c")])
        view.focus()
        await pilot.pause()
        await pilot.press("down")
        view.set_rows([Plain("a"), Plain("b"), Plain("c")])
        assert view.current.key == "c"


async def test_a_list_that_follows_its_end_shows_the_newest_row():
    view = RowsView(Counting(), tail=True)
    async with ListApp(view).run_test(size=(40, 10)) as pilot:
        view.set_rows([Plain(str(number), 3) for number in range(20)])
        await pilot.pause()
        view.set_rows([Plain(str(number), 3) for number in range(21)])
        await pilot.pause()
        assert "20.2" in shown(view)[-1]
        assert view.current.key == "20"


async def test_a_list_that_was_scrolled_away_stays_where_it_is():
    view = RowsView(Counting(), tail=True)
    async with ListApp(view).run_test(size=(40, 10)) as pilot:
        view.set_rows([Plain(str(number), 3) for number in range(20)])
        await pilot.pause()
        view.scroll_to(y=9, animate=False, immediate=True)
        await pilot.pause()
        before = shown(view)
        view.set_rows([Plain(str(number), 3) for number in range(-5, 40)])
        await pilot.pause()
        assert shown(view) == before


async def test_a_list_that_leads_with_its_first_row_does_until_somebody_goes_into_it():
    class Elsewhere(ListApp):
        AUTO_FOCUS = None

    view = RowsView(Counting(), lead=True)
    async with Elsewhere(view).run_test(size=(40, 5)) as pilot:
        for first in (30, 20):
            view.set_rows([Plain(str(number)) for number in range(first, 40)])
            assert view.current.key == str(first)
            assert f"{first}.0" in shown(view)[0]
        view.focus()
        await pilot.pause()
        view.set_rows([Plain(str(number)) for number in range(40)])
        assert view.current.key == "20"
        assert "20.0" in shown(view)[0]


async def test_a_row_taller_than_the_view_can_be_read_line_by_line():
    view = RowsView(Counting())
    async with ListApp(view).run_test(size=(40, 5)) as pilot:
        view.set_rows([Plain("a", 12), Plain("b")])
        view.focus()
        await pilot.pause()
        await pilot.press(*["down"] * 7)
        assert view.current.key == "a"
        assert "a.11" in shown(view)[-1]
        await pilot.press("down")
        assert view.current.key == "b"


async def test_down_at_the_end_of_a_tall_last_row_stays_there():
    view = RowsView(Counting(), tail=True)
    async with ListApp(view).run_test(size=(40, 5)) as pilot:
        view.set_rows([Plain("a"), Plain("b", 12)])
        view.focus()
        await pilot.pause()
        await pilot.press("down")
        assert "b.11" in shown(view)[-1]
        view.set_rows([Plain("a"), Plain("b", 12), Plain("c")])
        assert "c.0" in shown(view)[-1]


async def test_a_list_that_follows_its_end_still_does_after_the_room_for_it_has_changed():
    view = RowsView(Counting(), tail=True)
    async with ListApp(view).run_test(size=(40, 10)) as pilot:
        view.set_rows([Plain("a"), Plain("b", 30)])
        await pilot.pause()
        for height in (6, 9):
            await make_room(pilot, view, height)
            assert "b.29" in shown(view)[-1]
        view.set_rows([Plain("a"), Plain("b", 30), Plain("c", 2)])
        assert "c.1" in shown(view)[-1]
        assert view.current.key == "c"


async def test_a_tall_row_that_is_being_read_stays_where_it_is_when_the_room_for_it_changes():
    view = RowsView(Counting())
    async with ListApp(view).run_test(size=(40, 10)) as pilot:
        view.set_rows([Plain("a", 30), Plain("b")])
        view.focus()
        await pilot.pause()
        await pilot.press(*["down"] * 7)
        await make_room(pilot, view, 6)
        assert "a.7" in shown(view)[0]
        await pilot.click(view, offset=(3, 2))
        assert "a.7" in shown(view)[0]


async def test_a_page_key_does_not_skip_the_rest_of_a_tall_row():
    view = RowsView(Counting())
    async with ListApp(view).run_test(size=(40, 5)) as pilot:
        view.set_rows([Plain("a", 12), Plain("b", 2), Plain("c", 9)])
        view.focus()
        await pilot.pause()
        await pilot.press("pagedown")
        assert (view.current.key, shown(view)[0]) == ("a", "▌a.4")
        await pilot.press("pagedown")
        assert (view.current.key, shown(view)[0]) == ("a", "▌a.8")
        await pilot.press("pagedown")
        assert view.current.key == "b"
        view.action_last()
        await pilot.press("pageup")
        assert (view.current.key, shown(view)[0]) == ("c", "▌c.0")


async def test_a_click_selects_and_a_double_click_opens():
    chosen = []

    class Opening(ListApp):
        def on_rows_view_chosen(self, event) -> None:
            chosen.append(event.key)

    view = RowsView(Counting(), height=lambda _width: 2)
    async with Opening(view).run_test(size=(40, 10)) as pilot:
        view.set_rows([Plain("a", 2), Plain("b", 2), Plain("c", 2)])
        await pilot.click(view, offset=(3, 5))
        assert view.current.key == "c"
        await pilot.click(view, offset=(3, 3), times=2)
        assert chosen == ["b"]


async def test_equal_rows_cause_no_repaint():
    draw = Counting()
    view = RowsView(draw, height=lambda _width: 1)
    async with ListApp(view).run_test(size=(40, 10)) as pilot:
        view.set_rows([Plain("a")])
        await pilot.pause()
        before = draw.drawn
        view.set_rows([Plain("a")])
        await pilot.pause()
        assert draw.drawn == before
