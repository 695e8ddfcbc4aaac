"""The room: lists on the left, the conversation, the selected actor's work, what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from netsky_tui.drawing import attention as queue
from netsky_tui.drawing import bars, paragraphs, status
from netsky_tui.drawing.bars import TABS
from netsky_tui.drawing.paragraphs import Writer
from netsky_tui.keymap import SCOPES, Keymap, bindings, queue_keys
from netsky_tui.notices import NO_CODEX
from netsky_tui.store import LinkState, Part, Store
from netsky_tui.text import one_line
from netsky_tui.widgets.attention import AttentionPane
from netsky_tui.widgets.composer import Composer
from netsky_tui.widgets.panes import ActorsPane, EventsPane, MessagesPane, Pane, TasksPane, Wants
from netsky_tui.widgets.rows import RowsView
from netsky_tui.widgets.toned import LineView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.app import ComposeResult
    from textual.binding import BindingType

WIDE, MEDIUM = 140, 100
LOW = 30
SMALLEST = (60, 15)
FIRST = "messages"
"""Pane that the room opens with."""


class RoomScreen(Screen[None]):
    """Shows the store. Knows no daemon: what is to be done is posted as a message."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("room")
    AUTO_FOCUS = "#composer"

    def __init__(
        self,
        *,
        store: Store,
        keymap: Keymap,
        monotonic: Callable[[], float],
        now: Callable[[], int],
        look_at: Callable[[str], None],
    ) -> None:
        super().__init__(classes=f"-at-{FIRST}")
        self.store = store
        self._keymap_shown = keymap
        self._look_at = look_at
        self.actors, self.tasks = ActorsPane(), TasksPane()
        self.messages, self.events_pane = MessagesPane(), EventsPane()
        self.attention = AttentionPane(
            keymap=keymap,
            monotonic=monotonic,
            item=store.item,
            approval=lambda key: (store.approval(key), store.doing(key)),
            alike=lambda key: len(store.alike(key)),
            now=now,
        )
        self.composer = Composer(
            keymap=keymap, no_steer=lambda target: store.lacks(target).get("steer", "")
        )
        self.strip, self.tabs = LineView(id="strip"), LineView(id="tabs")
        self.alarm = Static(id="alarm")
        self.status, self.keys = LineView(id="status"), LineView(id="keys")
        self.boot: RowsView[Any] = RowsView(paragraphs.draw, cursor=False, id="boot")
        self._boot_lines: list[str] = []
        self._booting = False
        self.active = FIRST
        self.zoomed = False
        self._came_from: Widget | None = None
        self._linked = False
        self._resumed = False
        self.show_closed = True

    def compose(self) -> ComposeResult:
        """Lay out the room."""
        # Before there are widgets to restyle: each change of these costs 30 ms afterwards.
        self.update_classes(self._sizes(*self.app.size), update=False)
        yield self.tabs
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield self.actors
                yield self.tasks
            with Vertical(id="centre"):
                yield self.messages
            with Vertical(id="right"):
                yield self.attention
                yield self.events_pane
        yield self.boot
        yield self.strip
        yield self.alarm
        yield self.composer
        yield self.status
        yield self.keys
        yield Label(id="tiny")

    def on_mount(self) -> None:
        """Begin with what the store has, which may be nothing yet."""
        self.boot.can_focus = False
        self.screen_layout_refresh_signal.subscribe(self, self._lift_toasts, immediate=True)
        self._activate(self.active)
        self.refresh_parts(frozenset(Part))

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Take the styles as they are at the first time: every widget has just got them."""
        event.refresh_styles = event.refresh_styles and self._resumed
        self._resumed = True

    # -- size ------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        """Choose how many panes fit."""
        self._fit(event.size.width, event.size.height)

    def _sizes(self, width: int, height: int) -> dict[str, bool]:
        """Return the classes of this size: which panes there are."""
        tiny = width < SMALLEST[0] or height < SMALLEST[1]
        one = self.zoomed or width < MEDIUM
        return {
            "-tiny": tiny,
            "-one": one,
            "-two": not one and width < WIDE,
            "-wide": not one and width >= WIDE,
            "-low": height < LOW,
        }

    def _fit(self, width: int, height: int) -> None:
        sizes = self._sizes(width, height)
        self.update_classes(sizes)
        if sizes["-tiny"]:
            need = f"{SMALLEST[0]} by {SMALLEST[1]}"
            text = (
                f"netsky needs at least {need} characters; this terminal has {width} by {height}."
            )
            self.query_one("#tiny", Label).update(text)
        self.call_after_refresh(self._keep_focus)
        self._draw_bars()

    def _lift_toasts(self, _screen: Screen[Any]) -> None:
        """Keep toasts off what stands below the panes, however high that is by now."""
        for rack in self.query_children("ToastRack"):
            if not rack.display:
                continue  # another layout for nothing, and at the start that would be felt
            below = [self.strip, self.alarm, self.composer]
            tops = [widget.region.y for widget in below if widget.display and widget.region]
            margin = (0, 0, self.size.height - min(tops), 0) if tops else (0, 0, 0, 0)
            if rack.styles.margin != margin:
                rack.styles.margin = margin

    # -- what the store says ---------------------------------------------------------------

    def refresh_parts(self, parts: Iterable[Part]) -> None:
        """Show what changed."""
        store = self.store
        parts = set(parts)
        if Part.ACTORS in parts:
            busy = sum(row.mark.word == "busy" for row in store.actors)
            note = f"{len(store.actors)} · {busy} busy" if store.actors else ""
            self.actors.show(store.actors, note)
        if Part.TASKS in parts:
            self.show_tasks()
        if Part.MESSAGES in parts:
            total = store.snapshot.totals.messages
            note = f"latest {len(store.messages)} of {total}" if total > len(store.messages) else ""
            self.messages.show(store.messages, note)
        if Part.EVENTS in parts:
            self.events_pane.of(store.ask.actor_id)
            self.events_pane.show(store.events)
        if Part.ATTENTION in parts:
            total = sum(store.snapshot.totals.waiting.values())
            self.attention.show_queue(store.attention, total)
            if not store.attention:
                self.back_from_queue()
        linked = store.daemon.link in {LinkState.HOSTING, LinkState.ATTACHED}
        if linked and not self._linked:
            self.composer.problem("")
        self._linked = linked
        self._show_boot()
        self._draw_bars()

    def show_tasks(self) -> None:
        """Show the tasks, with or without closed ones."""
        rows = self.store.tasks
        shown = rows if self.show_closed else [row for row in rows if not row.status.closed]
        over = len(rows) - sum(not row.status.closed for row in rows)
        note = f"{len(rows) - over} open · {over} closed" if rows else ""
        if rows and not self.show_closed:
            note += " (hidden: c)"
        self.tasks.show(shown, note)

    def progress(self, line: str) -> None:
        """Add a line to what the start is doing."""
        self._boot_lines.append(line)
        self._show_boot()

    def _show_boot(self) -> None:
        daemon = self.store.daemon
        failed = daemon.link is LinkState.FAILED
        booting = failed or (daemon.link is LinkState.STARTING and not self.store.loaded)
        self._boot_shown(booting)
        if not booting:
            return
        out = Writer()
        out.add("netsky", "heading")
        out.add("")
        for line in self._boot_lines:
            done = failed or line is not self._boot_lines[-1]
            out.add(line, "dim" if done else "text", label="✓ " if done else "… ")
        if failed:
            out.add("")
            out.add(daemon.detail, "bad", label="✗ ")
            out.add("")
            out.add("r tries again, Ctrl+Q leaves.", "dim")
        self.boot.set_rows(out.done())

    def _boot_shown(self, booting: bool) -> None:
        # A class on the screen would restyle every widget (0.1 s), at the worst of moments.
        if booting == self._booting:
            return
        self._booting = booting
        self.boot.set_class(booting, "-shown")
        for widget in (self.query_one("#body"), self.tabs):
            if booting:
                widget.styles.display = "none"
            else:
                widget.styles.clear_rule("display")
                widget.refresh(layout=True)

    # -- bars ------------------------------------------------------------------------------

    def _draw_bars(self) -> None:
        width = self.size.width
        self.strip.set_class(bool(self.store.urgent), "-shown")
        decide = self._keymap_shown.say("room.decide")
        self.strip.set_line(queue.strip(self.store.attention, width, decide))
        self._draw_alarm()
        unread = self.store.snapshot.totals.unread
        self.tabs.set_line(
            bars.tabs(
                self.active,
                actor=self.store.ask.actor_id,
                blocked=self.store.screens_blocked,
                waiting=sum(row.waits for row in self.store.attention),
                urgent=self.store.urgent,
                unread=unread,
                width=width,
            )
        )
        self.status.set_line(status.draw(self.store, width))
        typing = isinstance(self.focused, (Composer, Input))
        offered = self.attention.offered
        idle = [key for key in queue_keys() if key.id not in offered]
        self.keys.set_line(
            bars.keys(
                self._scopes(),
                self._keymap_shown,
                width,
                typing=typing,
                without=idle,
                labels=offered,
            )
        )

    def _draw_alarm(self) -> None:
        alarm, why = self.store.alarm, self.store.no_codex
        key = self.store.notices_key
        text = f"✗ {one_line(alarm)}  ({key} notices)" if alarm else ""
        if self.store.daemon.link is LinkState.RECONNECTING:
            leave = self._keymap_shown.say("room.quit")
            text = f"✗ No daemon answers. This room or another one takes over; {leave} leaves."
        elif self.store.daemon.link is LinkState.STOPPED:
            leave = self._keymap_shown.say("room.quit")
            host = self._keymap_shown.say("room.host")
            text = f"✗ No daemon runs. {host} hosts one here, {leave} leaves."
        if text != self._alarm_shown:
            self._alarm_shown = text
            self.alarm.update(Content(text))
            self.alarm.set_class(bool(text), "-shown")
        kept = ", what you send is kept" if why == NO_CODEX else ""
        self.composer.explain(f"{why}{kept}: {key} notices" if why else "")

    _alarm_shown = ""

    def _scopes(self) -> list[str]:
        focused = self.focused
        if isinstance(focused, Composer):
            return ["composer", "app"]
        pane = pane_of(focused)
        if pane is None or isinstance(focused, Input):
            return ["app"]
        own = [str(pane.id)] if pane.id in SCOPES else []
        if pane is self.attention:
            own = ["approvals", "attention"]
        return [*own, "rows", "app", "room"]

    def back_from_queue(self) -> None:
        """Put the operator back where he came from, if he is still at the queue."""
        if pane_of(self.focused) is self.attention:
            back = self._came_from
            (back if back is not None and back.is_attached else self.composer).focus()

    def on_descendant_blur(self) -> None:
        """Leave no moment in which keys go nowhere."""
        self.call_after_refresh(self._keep_focus)

    def _keep_focus(self) -> None:
        idle = self.has_class("-tiny") or self._booting
        if self.is_mounted and self.focused is None and not idle:
            self.composer.focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Make the pane that has the focus the active one."""
        pane = pane_of(event.widget)
        if pane is not self.attention:
            self._came_from = event.widget
        if pane is not None and pane.id in TABS:
            self._activate(str(pane.id))
        self._draw_bars()

    def _activate(self, name: str) -> None:
        self.active = name
        self.update_classes({f"-at-{other}": other == name for other in TABS})

    # -- keys ------------------------------------------------------------------------------

    def action_go(self, name: str) -> None:
        """Give a pane or the composer the focus."""
        if name == "composer":
            self.composer.focus()
            return
        if name == "attention" and not self._queue_shown:
            self.notify(self.attention.view.empty, timeout=2)
            return
        self._activate(name)
        self._draw_bars()
        self._pane(name).view.focus(scroll_visible=False)

    @property
    def _queue_shown(self) -> bool:
        return bool(self.store.attention) or self.has_class("-one")

    def action_waits(self) -> None:
        """Go to what waits for the operator."""
        self.action_go("attention")

    def _pane(self, name: str) -> Pane:
        return self.query_one(f"#{name}", Pane)

    async def action_filter(self) -> None:
        """Filter the list that has the focus."""
        await self._pane(self.active).start_filter()

    def action_zoom(self) -> None:
        """Show one pane, or all again."""
        self.zoomed = not self.zoomed
        self._fit(self.size.width, self.size.height)

    def key_r(self) -> None:
        """Try again after a failed start."""
        if self.store.daemon.link is LinkState.FAILED:
            self.post_message(Wants("retry", ""))

    async def key_escape(self) -> None:
        """End the filter of the active list."""
        if (pane := self._pane(self.active)).filtering:
            await pane.end_filter()

    @on(Composer.Leave)
    def _leave_composer(self) -> None:
        # A queue that is gone takes no focus: letters for a list would go on into the text.
        gone = self.active == "attention" and not self._queue_shown
        self.action_go(FIRST if gone else self.active)

    @on(Composer.TargetKey)
    def _other_target(self) -> None:
        row = self.actors.view.current
        selected = row.key if row is not None else self.composer.target
        self.composer.aim("manager0" if self.composer.target == selected else selected)

    @on(RowsView.Moved, "#actors-view")
    def _actor_selected(self, event: RowsView.Moved) -> None:
        self._look_at(event.key)

    @on(RowsView.Moved, "#attention-view")
    def _question_selected(self) -> None:
        self._draw_bars()

    @on(RowsView.Chosen)
    def _open(self, event: RowsView.Chosen) -> None:
        kind = str(event.view.id).removesuffix("-view")
        self.post_message(Wants(f"open.{kind}", event.key))

    @on(RowsView.Top)
    def _older(self, event: RowsView.Top) -> None:
        self.post_message(Wants("older", str(event.view.id).removesuffix("-view")))

    async def on_click(self, event: events.Click) -> None:
        """Go from the strip to what waits, from a tab to its pane."""
        if event.widget is self.strip:
            self.action_go("attention")
        elif event.widget is self.alarm or (event.widget is self.status and self.store.notices):
            await self.app.run_action("notices")
        elif event.widget is self.tabs:
            position = 0
            for name, (text, _) in zip(TABS, self.tabs.line[::2], strict=False):
                position += len(text) + 1
                if event.x < position:
                    self.action_go(name)
                    return

    def seen_messages(self) -> list[str]:
        """Return the owner's unread messages that are on the screen."""
        if not self.messages.view.is_on_screen or self._booting:
            return []
        return [row.key for row in self.messages.view.visible_rows() if row.unread]


def pane_of(widget: Widget | None) -> Pane | None:
    """Return the pane a widget is in."""
    while widget is not None and not isinstance(widget, Pane):
        parent = widget.parent
        widget = parent if isinstance(parent, Widget) else None
    return widget
