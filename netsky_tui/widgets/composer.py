"""Where the operator writes. A text leaves it only when the database has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.message import Message
from textual.widgets import TextArea

from netsky_runtime.counting import count
from netsky_runtime.records import MANAGER0, MAX_BODY_BYTES
from netsky_runtime.states import InputMode
from netsky_tui.keymap import SCOPES, Keymap, bindings
from netsky_tui.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual import events
    from textual.binding import BindingType

_MODES = tuple(InputMode)
_EXPLAIN = {
    InputMode.QUEUE: "waits for the turn's end",
    InputMode.STEER: "joins the running turn",
    InputMode.INTERRUPT: "stops the running turn",
}
_HISTORY = 200


class Composer(TextArea):
    """A few lines of text with a target and a mode."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("composer")

    class Send(Message):
        """Enter was pressed on a text that can be sent."""

        def __init__(self, body: str, target: str, mode: InputMode, reply_to: str) -> None:
            super().__init__()
            self.body, self.target, self.mode, self.reply_to = body, target, mode, reply_to

    class TargetKey(Message):
        """The operator wants the other target."""

    class Leave(Message):
        """The operator wants to leave the composer."""

    def __init__(
        self, *, keymap: Keymap, no_steer: Callable[[str], str] = lambda _target: ""
    ) -> None:
        super().__init__(
            id="composer",
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            compact=True,
            tab_behavior="focus",
            placeholder="Write what you want done.",
        )
        self.cursor_blink = False
        self._no_steer = no_steer
        self._own_keys = {
            key: entry.action for entry in SCOPES["composer"] for key in keymap.of(entry).split(",")
        }
        self.target = MANAGER0
        self.mode = InputMode.QUEUE
        self.reply_to = ""
        self._history: list[str] = []
        self._place = 0
        self._draft = ""
        self._problem = ""
        self._why = ""

    def on_mount(self) -> None:
        """Show the prompt."""
        self._prompt()

    # -- prompt ----------------------------------------------------------------------------

    def aim(self, target: str, *, reply_to: str = "") -> None:
        """Choose who the text goes to, and which message it answers."""
        self.target, self.reply_to = target, reply_to
        self._prompt()

    def _prompt(self) -> None:
        parts = [f"to {one_line(self.target)}", self.mode.value]
        if self.reply_to:
            parts.append("as a reply")
        self.border_title = Content(" · ".join(parts))
        mode = _EXPLAIN[self.mode] if self.mode is not InputMode.QUEUE else ""
        if self.mode is InputMode.STEER and (why := self._no_steer(self.target)):
            mode = f"not to {one_line(self.target)}: {why}"
        notes = (self._problem or self._why or mode, self._hidden())
        self.border_subtitle = Content(" · ".join(note for note in notes if note))
        self.set_class(bool(self._problem), "-problem")

    def problem(self, text: str) -> None:
        """Show what went wrong; empty when nothing did."""
        if text != self._problem:
            self._problem = text
            self._prompt()

    def explain(self, why: str) -> None:
        """Say why what is sent will stay stored; empty when it will not."""
        if why != self._why:
            self._why = why
            self._prompt()

    def _hidden(self) -> str:
        """Say how long a text is of which not everything can be seen."""
        lines = self.document.line_count
        room = self.content_size.height
        return count(lines, "line") if room and self.wrapped_document.height > room else ""

    def on_text_area_changed(self) -> None:
        """Give an edited text a new chance."""
        self._problem = ""
        self._prompt()

    def on_resize(self) -> None:
        """Tell of lines that are not in view any more."""
        self._prompt()

    # -- keys ------------------------------------------------------------------------------

    async def _on_key(self, event: events.Key) -> None:
        """Do what a key means here and now.

        Left to bubble, it would be done after letters that were typed behind it: a quick Enter
        would send half a text, and Backspace take the wrong letter.
        """
        action = self._own_keys.get(event.key)
        if action is None and not event.is_printable and event.key != "enter":
            found = self._bindings.key_to_bindings.get(event.key, ())
            action = next((binding.action for binding in found), None)
        if action is not None:
            event.stop()
            event.prevent_default()
            await self.run_action(action)

    def action_send(self) -> None:
        """Send, unless the text is empty or too long."""
        body = self.text
        size = len(body.encode("utf-8", "surrogatepass"))
        if not body.strip():
            self.problem("There is nothing to send yet.")
        elif size > MAX_BODY_BYTES:
            limit = MAX_BODY_BYTES // 1024
            self.problem(
                f"This is {-(-size // 1024)} KiB, the limit is {limit} KiB: send a file's path."
            )
        else:
            self.post_message(self.Send(body, self.target, self.mode, self.reply_to))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_mode(self) -> None:
        """Go on to the next mode."""
        self.mode = _MODES[(_MODES.index(self.mode) + 1) % len(_MODES)]
        self._prompt()

    def action_target(self) -> None:
        """Ask for the other target."""
        self.post_message(self.TargetKey())

    def action_leave(self) -> None:
        """Go back to the lists."""
        self.post_message(self.Leave())

    # -- sent texts ------------------------------------------------------------------------

    def sent(self, body: str) -> None:
        """Let go of a text that the database has, unless it was changed meanwhile."""
        self.remember([body])
        if self.text == body:
            self.clear()
        self.reply_to = ""
        self.mode = InputMode.QUEUE
        self._prompt()

    def remember(self, bodies: Sequence[str]) -> None:
        """Add texts to the history."""
        for body in bodies:
            if body in self._history:
                self._history.remove(body)
            self._history.append(body)
        del self._history[:-_HISTORY]
        self._place = len(self._history)

    def action_cursor_up(self, select: bool = False) -> None:
        """Go up a line; from the first one into the history."""
        at_top = self.cursor_location[0] == 0 and self.cursor_at_first_line
        if select or not at_top or not self._history or self._place == 0:
            super().action_cursor_up(select)
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._recall(self._place - 1)

    def action_cursor_down(self, select: bool = False) -> None:
        """Go down a line; from the last one back towards the draft."""
        if select or not self.cursor_at_last_line or self._place >= len(self._history):
            super().action_cursor_down(select)
            return
        self._recall(self._place + 1)

    def _recall(self, place: int) -> None:
        self._place = place
        text = self._history[place] if place < len(self._history) else self._draft
        self.text = text
        self.move_cursor(self.document.end)
