"""All notices, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netsky_tui.keymap import bindings
from netsky_tui.screens.page import Document, PageScreen

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType


class NoticesScreen(PageScreen):
    """A page whose key takes the notices out of the room for this session."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("notices")

    def __init__(self, document: Document, *, foot: str, put_away: Callable[[], None]) -> None:
        super().__init__("notices", document, foot=foot)
        self._put_away = put_away

    def action_put_away(self) -> None:
        """Put them away and close."""
        self._put_away()
        self.dismiss()
