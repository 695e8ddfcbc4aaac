"""Questions of the room to the operator: a choice, a form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label

from netsky_tui.drawing import paragraphs
from netsky_tui.drawing.paragraphs import Para
from netsky_tui.screens.once import OnceScreen
from netsky_tui.text import harmless
from netsky_tui.widgets.rows import RowsView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


@dataclass(frozen=True, slots=True)
class Option:
    """Something that can be chosen, by its key or with Enter."""

    id: str
    key: str
    label: str


class ChoiceScreen(OnceScreen[str | None]):
    """One question, some options; Esc means none of them.

    ``safe`` is the option that changes nothing: it is under the cursor at first, and any other is
    refused while ``hurried`` says that keys come faster than fingers.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "neither")]

    def __init__(
        self,
        title: str,
        text: str,
        options: Sequence[Option],
        *,
        safe: str = "",
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._title, self._text, self._options = title, text, options
        self._safe, self._hurried = safe, hurried

    def compose(self) -> ComposeResult:
        """Lay out question and options."""
        rows = [Para(option.id, option.label, label=f"{option.key} ") for option in self._options]
        with Vertical(id="dialog") as frame:
            frame.border_title = Content(self._title)
            frame.border_subtitle = Content("Esc leaves everything as it is")
            yield Label(Content(harmless(self._text)), id="dialog-text")
            view: RowsView[Any] = RowsView(paragraphs.draw, id="dialog-view")
            view.set_rows(rows)
            view.cursor = next((i for i, row in enumerate(rows) if row.key == self._safe), 0)
            view.styles.height = len(rows) + sum(len(row.text) // 60 for row in rows)
            yield view

    def on_mount(self) -> None:
        """Let the arrows work at once."""
        self.query_one(RowsView).focus()

    @on(RowsView.Chosen)
    def _chosen(self, event: RowsView.Chosen) -> None:
        self._choose(event.key)

    def on_key(self, event: events.Key) -> None:
        """Choose the option whose own key was pressed."""
        for option in self._options:
            if event.character == option.key:
                event.stop()
                self._choose(option.id)
                return

    def _choose(self, option: str) -> None:
        if self._safe and option != self._safe and self._hurried():
            text = "Keys came faster than fingers: nothing is done. Press the key again."
            self.query_one("#dialog").border_subtitle = Content(text)
            return
        self.dismiss(option)


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a form."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    needed: bool = False
    secret: bool = False


class FormScreen(OnceScreen[dict[str, str] | None]):
    """Some fields; Enter goes on and at the last one sends, Esc gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss(None)", "give up"),
        ("ctrl+s", "done", "done"),
    ]

    def __init__(self, title: str, text: str, fields: Sequence[Field]) -> None:
        super().__init__()
        self._title, self._text, self._fields = title, text, fields

    def compose(self) -> ComposeResult:
        """Lay out the fields."""
        with Vertical(id="dialog") as frame:
            frame.border_title = Content(self._title)
            frame.border_subtitle = Content("Enter goes on · Ctrl+S is done · Esc gives up")
            if self._text:
                yield Label(Content(harmless(self._text)), id="dialog-text")
            for number, field in enumerate(self._fields):
                yield Label(Content(harmless(field.label)), classes="field-label")
                yield Input(
                    field.value,
                    placeholder=field.hint,
                    password=field.secret,
                    compact=True,
                    id=f"field-{number}",
                )
            yield Label("", id="dialog-problem")

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        number = int(str(event.input.id).removeprefix("field-"))
        if number + 1 < len(self._fields):
            self.query_one(f"#field-{number + 1}", Input).focus()
        else:
            self.action_done()

    def action_done(self) -> None:
        """Hand over what was filled in."""
        values: dict[str, str] = {}
        for number, field in enumerate(self._fields):
            entry = self.query_one(f"#field-{number}", Input)
            values[field.name] = entry.value.strip()
            if field.needed and not values[field.name]:
                problem = self.query_one("#dialog-problem", Label)
                problem.update(Content(f"{field.label} is needed."))
                entry.focus()
                return
        self.dismiss(values)
