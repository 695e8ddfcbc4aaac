"""A list in a frame, with its number, its counts and its filter; one class for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from netsky_tui.drawing import actors, events, messages, tasks
from netsky_tui.keymap import bindings
from netsky_tui.widgets.rows import RowsView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


class Wants(Message):
    """The operator wants something done with a row."""

    def __init__(self, verb: str, key: str) -> None:
        super().__init__()
        self.verb, self.key = verb, key


class FilterInput(Input):
    """One line to filter a list by."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "end the filter")]

    class Left(Message):
        """The filter is over."""

    def action_leave(self) -> None:
        """End the filter."""
        self.post_message(self.Left())


class Pane(Vertical):
    """A frame around a list. ``show`` gives it rows."""

    number: ClassVar[str] = ""
    name_shown: ClassVar[str] = ""

    def __init__(self, view: RowsView[Any], *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = view
        self._empty = view.empty
        self.note = ""
        self._all: Sequence[Any] = ()
        self._needle = ""
        self._label()

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        yield self.view

    def _label(self, extra: str = "") -> None:
        self.border_title = Content(f"{self.number} {self.name_shown}{extra}")

    def show(self, rows: Sequence[Any], note: str = "") -> None:
        """Show rows (those that pass the filter), and a note in the frame."""
        self._all, self.note = rows, note
        self._pour()

    def _pour(self) -> None:
        rows, empty = self._all, self._empty
        if self._needle:
            words = self._needle.casefold().split()
            rows = [row for row in rows if _matches(row.search, words)]
            self.border_subtitle = Content(f"{len(rows)} of {len(self._all)} loaded")
            if self._all:
                # That nothing waits, or was said, is not true then.
                empty = f"Nothing here matches “{self._needle}”.\nEsc ends the filter."
        else:
            self.border_subtitle = Content(self.note)
        if self.view.empty != empty:
            self.view.empty = empty
            self.view.refresh()
        self.view.set_rows(rows)

    # -- filter ----------------------------------------------------------------------------

    async def start_filter(self) -> None:
        """Open the filter, or go back into it."""
        found = self.query(FilterInput)
        if found:
            found.first().focus()
            return
        field = FilterInput(placeholder="filter; Enter keeps it, Esc ends it", compact=True)
        await self.mount(field, before=self.view)
        field.focus()

    async def end_filter(self) -> None:
        """Show everything again."""
        self._needle = ""
        await self.query(FilterInput).remove()
        self._pour()
        self.view.focus()

    @property
    def filtering(self) -> bool:
        """Whether a filter is on."""
        return bool(self.query(FilterInput))

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        self._needle = event.value.strip()
        self._pour()

    @on(Input.Submitted)
    async def _keep(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self.view.focus()
        else:
            await self.end_filter()

    @on(FilterInput.Left)
    async def _left(self, event: FilterInput.Left) -> None:
        event.stop()
        await self.end_filter()

    def want(self, verb: str) -> None:
        """Ask the room to do something with the row under the cursor."""
        row = self.view.current
        self.post_message(Wants(verb, row.key if row is not None else ""))

    def action_trace(self) -> None:
        """Follow the row through netsky."""
        self.want(f"trace.{self.id}")


def _matches(text: str, words: Iterable[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


class ActorsPane(Pane):
    """Who is there, as a tree."""

    number, name_shown = "1", "actors"
    BINDINGS: ClassVar[list[BindingType]] = bindings("actors")

    def __init__(self) -> None:
        empty = "No actors yet.\nThe daemon makes manager0 when it starts."
        super().__init__(RowsView(actors.draw, empty=empty, id="actors-view"), id="actors")

    def action_target(self) -> None:
        """Write to this actor."""
        self.want("target")

    def action_interrupt(self) -> None:
        """Interrupt this actor's turn."""
        self.want("actor.interrupt")

    def action_stop(self) -> None:
        """Stop this actor."""
        self.want("actor.stop")

    def action_resume(self) -> None:
        """Resume this actor."""
        self.want("actor.resume")

    def action_attach(self) -> None:
        """Show Codex's own screen of this actor."""
        self.want("actor.attach")

    def action_move(self) -> None:
        """Take this actor's thread to another door."""
        self.want("actor.move")


class TasksPane(Pane):
    """What is to be done."""

    number, name_shown = "2", "tasks"
    BINDINGS: ClassVar[list[BindingType]] = bindings("tasks")

    def __init__(self) -> None:
        empty = "No tasks.\nTell manager0 what you want, or press a to add one."
        view = RowsView(tasks.draw, height=tasks.height, lead=True, empty=empty, id="tasks-view")
        super().__init__(view, id="tasks")

    def action_add(self) -> None:
        """Add a task."""
        self.post_message(Wants("task.add", ""))

    def action_done(self) -> None:
        """Mark the task done."""
        self.want("task.done")

    def action_cancel(self) -> None:
        """Cancel the task."""
        self.want("task.cancel")

    def action_note(self) -> None:
        """Add a note."""
        self.want("note.add")

    def action_closed(self) -> None:
        """Show or hide closed tasks."""
        self.post_message(Wants("tasks.closed", ""))


class MessagesPane(Pane):
    """The conversation."""

    number, name_shown = "3", "messages"
    BINDINGS: ClassVar[list[BindingType]] = bindings("messages")

    def __init__(self) -> None:
        empty = "Nothing said yet.\nWrite below what you want done; manager0 takes it from there."
        view = RowsView(messages.draw, tail=True, empty=empty, id="messages-view")
        super().__init__(view, id="messages")

    def action_reply(self) -> None:
        """Answer the sender."""
        self.want("reply")


class EventsPane(Pane):
    """What the selected actor does."""

    number, name_shown = "4", "events"

    def __init__(self) -> None:
        empty = "Nothing has happened here yet.\nSelect an actor (1) to watch it work."
        view = RowsView(events.draw, tail=True, empty=empty, id="events-view")
        super().__init__(view, id="events")

    def of(self, actor_id: str) -> None:
        """Name the actor in the frame."""
        self._label(f" · {actor_id}")
