"""Something to read, large: details, help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.containers import Vertical
from textual.content import Content

from netsky_runtime.errors import NetskyError
from netsky_tui.drawing import paragraphs
from netsky_tui.drawing.paragraphs import Para
from netsky_tui.keymap import bindings
from netsky_tui.screens.once import OnceScreen
from netsky_tui.widgets.rows import RowsView

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

Document = Sequence[Para]


class PageScreen(OnceScreen[None]):
    """A document in a frame; arrows and page keys scroll, Esc closes."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("page")

    def __init__(
        self,
        title: str,
        document: Document | Callable[[], Awaitable[Document]],
        *,
        foot: str = "Esc closes",
    ) -> None:
        super().__init__()
        self._title, self._document, self._foot = title, document, foot
        self.view: RowsView[Any] = RowsView(
            paragraphs.draw, cursor=False, empty="reading…", id="page-view"
        )

    def compose(self) -> ComposeResult:
        """Lay out the frame."""
        with Vertical(id="page") as frame:
            frame.border_title = Content(self._title)
            frame.border_subtitle = Content(self._foot)
            yield self.view

    async def on_mount(self) -> None:
        """Show the document, or what went wrong reading it."""
        self.view.focus()
        if not callable(self._document):
            self.view.set_rows(self._document)
            return
        try:
            self.view.set_rows(await self._document())
        except NetskyError as error:
            self.view.set_rows((Para("error", str(error), "bad"),))

    def action_close(self) -> None:
        """Close."""
        self.dismiss()
