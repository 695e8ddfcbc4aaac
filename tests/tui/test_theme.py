"""The colours of the room on terminals that have few."""

from __future__ import annotations

import pytest
from rich.color import Color, ColorSystem

from netsky_tui import theme
from tests.tui.rooms import NARROW, open_room

SIXTEEN = theme.SIXTEEN
TONES = {
    "frame": SIXTEEN.variables["room-line"],
    "frame with the focus": SIXTEEN.primary,
    "key": SIXTEEN.accent,
    "good": SIXTEEN.success,
    "warning": SIXTEEN.warning,
    "bad": SIXTEEN.error,
    "owner": SIXTEEN.variables["room-owner"],
    "text": SIXTEEN.foreground,
    "ground": SIXTEEN.background,
}


def shown(colour: str | None) -> tuple[int, int, int]:
    """Return what a terminal with 16 colours makes of it."""
    return Color.parse(str(colour)).downgrade(ColorSystem.STANDARD).get_truecolor()


@pytest.mark.parametrize(
    ("colours", "name"),
    [
        ("standard", "netsky-16"),
        ("256", "netsky-dark"),
        ("truecolor", "netsky-dark"),
        (None, "netsky-dark"),
    ],
)
def test_a_terminal_with_16_colours_gets_a_theme_made_of_them(
    colours: str | None, name: str
) -> None:
    assert theme.fitting(colours).name == name


def test_what_means_something_looks_different_with_16_colours() -> None:
    assert len({shown(colour) for colour in TONES.values()}) == len(TONES)


def test_no_colour_of_that_theme_is_bright_black() -> None:
    own = (SIXTEEN.primary, SIXTEEN.accent, SIXTEEN.foreground, *SIXTEEN.variables.values())
    bright_black = 8
    assert bright_black not in {
        Color.parse(str(colour)).downgrade(ColorSystem.STANDARD).number for colour in own
    }


async def test_the_composers_frame_can_be_told_from_the_ground_with_16_colours() -> None:
    async with open_room(size=NARROW) as room:
        room.app.theme = SIXTEEN.name
        await room.press("escape")
        composer = room.app.room.composer
        assert room.app.focused is not composer
        frame = composer.styles.border_top[1].rich_color.downgrade(ColorSystem.STANDARD)
        ground = composer.styles.background.rich_color.downgrade(ColorSystem.STANDARD)
        assert frame.number != ground.number
