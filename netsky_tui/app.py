"""The Textual app: introduces store, feed and screens to each other. No domain logic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App
from textual.worker import Worker, WorkerState

from netsky_runtime.errors import NetskyError
from netsky_runtime.records import MANAGER0
from netsky_runtime.states import InputMode
from netsky_tui import theme
from netsky_tui.attaching import Attaching
from netsky_tui.decisions import Decisions
from netsky_tui.feed import RoomFeed
from netsky_tui.keymap import Keymap, bindings
from netsky_tui.leaving import Leaving
from netsky_tui.operations import Operations
from netsky_tui.pages import Pages
from netsky_tui.palette import RoomCommands
from netsky_tui.screens.approval import ApprovalScreen
from netsky_tui.screens.room import RoomScreen
from netsky_tui.store import LinkState, Part, Store
from netsky_tui.tidying import Tidying
from netsky_tui.widgets import rows, toned
from netsky_tui.widgets.approvals import Decide, Refuse
from netsky_tui.widgets.attention import Act
from netsky_tui.widgets.composer import Composer
from netsky_tui.widgets.panes import Wants

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from textual.binding import BindingType
    from textual.driver import Driver

    from netsky_runtime.clock import Clock
    from netsky_tui.link import Connector

_EYES = 60.0
"""Seconds after a key or click for which somebody is taken to be looking."""
_READ_PACE = 1.0
_TIDY_PACE = 1.0
_BURST = 0.02
"""Seconds; keys that follow each other faster were pasted."""
_HURRIED = "Keys came faster than fingers: nothing was decided. Press the key again."


class RoomApp(App[int]):
    """The control room. Returns an exit status."""

    TITLE = "netsky"
    CSS_PATH = "styles/room.tcss"
    COMPONENT_CLASSES: ClassVar[set[str]] = toned.COMPONENTS | rows.COMPONENTS
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    COMMANDS: ClassVar[set[Any]] = {RoomCommands}
    COMMAND_PALETTE_BINDING = "f24"
    """Out of the way: the table of keys has its own for the palette."""
    PAUSE_GC_ON_SCROLL = True

    def __init__(
        self,
        *,
        connector: Connector,
        clock: Clock,
        keymap: Keymap,
        environ: Mapping[str, str],
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(driver_class=driver_class)
        self._clock = clock
        self._eyes_until = 0.0
        self._last_key: events.Key | None = None
        self._key_at, self._key_gap = float("-inf"), float("inf")
        self._tidying = Tidying(clock=clock)
        self._reading: frozenset[str] = frozenset()
        self.own_keys = keymap
        self.store = Store(key_problems=keymap.errors, notices_key=keymap.say("room.notices"))
        self.feed = RoomFeed(
            store=self.store,
            connector=connector,
            clock=clock,
            changed=self.changed,
            progress=self._progress,
            rung=self._rung,
            told_to_stop=self.stop_soon,
        )
        self.operations = Operations(self)
        self.decisions = Decisions(self)
        self.pages = Pages(self, clock=clock)
        self.attaching = Attaching(self, environ=environ, clock=clock)
        self.leaving = Leaving(self, connector=connector)
        self.room = RoomScreen(
            store=self.store,
            keymap=keymap,
            monotonic=clock.monotonic,
            now=clock.now,
            look_at=self.feed.look_at,
        )
        for own in (theme.DARK, theme.LIGHT, theme.SIXTEEN):
            self.register_theme(own)
        self.theme = theme.DARK.name
        if keymap.keys:
            self.set_keymap(keymap.keys)

    def get_css_variables(self) -> dict[str, str]:
        """Give Textual's own themes what they lack."""
        return theme.complete(super().get_css_variables())

    def get_default_screen(self) -> RoomScreen:
        """Return the room."""
        return self.room

    def on_mount(self) -> None:
        """Start feeding: what is stored is read while the terminal gets ready."""
        self.room.call_later(self._start_feed)
        self.set_interval(_READ_PACE, self._mark_read, name="read")
        self._tidying.start()
        self.set_interval(_TIDY_PACE, self._tidy, name="tidy")

    def on_unmount(self) -> None:
        """Leave the process as it was."""
        self._tidying.stop()

    def _tidy(self) -> None:
        self._tidying.beat(last_key=self._key_at)

    def _start_feed(self) -> None:
        self.run_worker(
            self.feed.run(), name="feed", group="feed", exclusive=True, exit_on_error=False
        )

    # -- from the feed ---------------------------------------------------------------------

    def changed(self, parts: frozenset[Part]) -> None:
        """Show what changed in the store."""
        if not parts or not self.room.is_mounted:
            return
        first = Part.MESSAGES in parts and not self._seeded
        if first and self.store.messages:
            self._seeded = True
            self.room.composer.remember(self.store.owner_lines())
        self.room.refresh_parts(parts)
        if Part.ATTENTION in parts and isinstance(self.screen, ApprovalScreen):
            self.screen.update()

    _seeded = False

    def _progress(self, line: str) -> None:
        if self.store.daemon.link is LinkState.STARTING:
            self.store.set_link(LinkState.STARTING, line)
            self.room.progress(line)
        else:
            self.say(line)

    def _rung(self, text: str) -> None:
        """Ring: the daemon says that something waits, once for each thing in all rooms."""
        self.bell()
        self.notify(text, severity="warning", timeout=8, markup=False)

    def say(self, text: str, *, bad: bool = False) -> None:
        """Tell the operator something; it is plain text."""
        severity = "error" if bad else "information"
        self.notify(text, severity=severity, timeout=8 if bad else 4, markup=False)  # type: ignore[arg-type]  # a Literal

    # -- work in the background ------------------------------------------------------------

    def do(self, work: Awaitable[Any], name: str) -> None:
        """Run something the operator asked for; several can run at once."""
        self.run_worker(work, name=name, group="verbs", exit_on_error=False)

    @on(Worker.StateChanged)
    def _worker_ended(self, event: Worker.StateChanged) -> None:
        if event.state is not WorkerState.ERROR or event.worker.error is None:
            return
        error = event.worker.error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = str(error) if isinstance(error, NetskyError) else f"{type(error).__name__}: {error}"
        self.log.error(text)
        if event.worker.group == "feed":
            self.say(f"The room lost its feed ({text}). It starts again.", bad=True)
            self.set_timer(2.0, self._start_feed)
        else:
            self.say(f"{event.worker.name} failed: {text}", bad=True)

    # -- what the room wants ---------------------------------------------------------------

    @property
    def selected_actor(self) -> str:
        """The actor under the cursor."""
        row = self.room.actors.view.current
        return row.key if row is not None else ""

    @on(Wants)
    def _wanted(self, event: Wants) -> None:
        key, operations = event.key, self.operations
        jobs: dict[str, Callable[[], Awaitable[None]]] = {
            "actor.interrupt": lambda: operations.interrupt(key),
            "actor.stop": lambda: operations.stop_actor(key),
            "actor.resume": lambda: operations.resume(key),
            "actor.attach": lambda: self.attaching.attach(key),
            "actor.move": lambda: operations.move(key),
            "task.add": operations.add_task,
            "task.done": lambda: operations.task_done(key),
            "task.cancel": lambda: operations.task_cancel(key),
            "note.add": lambda: operations.add_note(key),
            "approval.alike": lambda: self.decisions.alike(key),
            "approval.rule": lambda: self.decisions.make_rule(key),
        }
        simple: dict[str, Callable[[str], None]] = {
            "target": self.aim,
            "reply": self._reply,
            "older": self._older,
            "retry": lambda _key: self.feed.retry(),
            "tasks.closed": lambda _key: self._toggle_closed(),
            "open.actors": self.pages.actor,
            "open.tasks": self.pages.task,
            "open.messages": self.pages.message,
            "open.attention": self.pages.waiting,
            "trace.actors": self.pages.trace_thread,
            "trace.tasks": self.pages.trace,
            "trace.messages": self.pages.trace,
            "trace.attention": self.pages.trace_waiting,
        }
        if (job := jobs.get(event.verb)) is not None:
            self.do(job(), event.verb)
        elif (act := simple.get(event.verb)) is not None:
            act(key)

    def aim(self, actor_id: str) -> None:
        """Write to an actor, without one to manager0."""
        self.room.composer.aim(actor_id or MANAGER0)
        self.room.composer.focus()

    def _reply(self, message_id: str) -> None:
        fact = self.store.message(message_id)
        if fact is None:
            return
        if fact.message.sender not in self.store.targets:
            self.say(f"{fact.message.sender} takes no messages.", bad=True)
            return
        self.room.composer.aim(fact.message.sender, reply_to=message_id)
        self.room.composer.focus()

    def _older(self, part: str) -> None:
        if part in {Part.MESSAGES, Part.EVENTS} and self.store.more(Part(part)):
            self.feed.touch()

    def _toggle_closed(self) -> None:
        self.room.show_closed = not self.room.show_closed
        self.room.show_tasks()

    # -- approvals -------------------------------------------------------------------------

    @on(Refuse)
    def _refused(self, event: Refuse) -> None:
        self.notify(event.text, severity="warning", timeout=4, markup=False)

    @on(Decide)
    def _decided(self, event: Decide) -> None:
        if self.hurried():
            self.notify(_HURRIED, severity="warning", timeout=4, markup=False)
            return
        self.do(self._decide(event), "decision")

    async def _decide(self, event: Decide) -> None:
        approval = self.store.approval(event.approval_id)
        if approval is None or self.store.doing(approval.id):
            return
        self.changed(self.store.deciding(approval.id, event.word, self._clock.now()))
        problem = await self.operations.decide(approval, event.word)
        if problem:
            self.changed(self.store.deciding(approval.id, None, self._clock.now()))
            self.say(problem, bad=True)
            return
        if isinstance(self.screen, ApprovalScreen):
            self.screen.dismiss()
        if not self.room.attention.next_urgent(approval.id):
            self.room.back_from_queue()

    @on(Act)
    def _acted(self, event: Act) -> None:
        if self.hurried():
            self.notify(_HURRIED, severity="warning", timeout=4, markup=False)
            return
        item, action = event.item, event.action
        if action.method == "actors.terminal":
            self.do(self.attaching.attach(item.actor), action.label)
        elif action.types == "body":
            self.room.composer.aim(item.actor, reply_to=item.ref)
            self.room.composer.focus()
        else:
            self.do(self.operations.act(action), action.label)

    def hurried(self) -> bool:
        """Whether the last key came faster than fingers are: it was pasted, or not meant."""
        return self._key_gap < _BURST

    # -- composer --------------------------------------------------------------------------

    @on(Composer.Send)
    def _send(self, event: Composer.Send) -> None:
        self.do(self._sending(event), "sending")

    async def _sending(self, event: Composer.Send) -> None:
        composer = self.room.composer
        if self._in_flight == event.body:
            return
        self._in_flight = event.body
        params: dict[str, Any] = {
            "target": event.target,
            "body": event.body,
            "mode": InputMode(event.mode).value,
            "source": "room",
        }
        if event.reply_to:
            params["in_reply_to"] = event.reply_to
        self.feed.hush()
        try:
            sent = await self.operations.call("send", params)
        except NetskyError as error:
            composer.problem(f"Not sent, your text is still here: {error}")
        else:
            composer.sent(event.body)
            if held := sent.get("held"):
                remedy = f"\nTo let it go: {sent['remedy']}" if sent["remedy"] else ""
                self.notify(
                    f"It waits: {held}.{remedy}", severity="warning", timeout=8, markup=False
                )
            self.room.messages.view.action_last()
        finally:
            self._in_flight = ""

    _in_flight = ""

    # -- reading ---------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Note that somebody is there."""
        if isinstance(event, (events.Key, events.MouseDown, events.MouseScrollDown)):
            now = self._clock.monotonic()
            self._eyes_until = now + _EYES
            # A key that no widget takes comes by a second time.
            if isinstance(event, events.Key) and event is not self._last_key:
                self._last_key = event
                self._key_gap, self._key_at = now - self._key_at, now
        await super().on_event(event)

    def look_away(self) -> None:
        """Note that nobody can see the room: another program has the terminal."""
        self._eyes_until = 0.0

    def _mark_read(self) -> None:
        looking = self.app_focus and self._clock.monotonic() < self._eyes_until
        # On the way out there is no screen any more, and to ask for the present one is an error.
        if not looking or not self.room.is_active or self.feed.handle is None:
            return
        ids = [key for key in self.room.seen_messages() if key not in self._reading]
        if ids:
            self._reading |= frozenset(ids)
            self.do(self._read(ids), "reading")

    async def _read(self, ids: list[str]) -> None:
        try:
            await self.operations.call("messages.read", {"ids": ids})
        except NetskyError:
            # Still unread; the next look tries again.
            self._reading -= frozenset(ids)

    # -- leaving ---------------------------------------------------------------------------

    def interrupted(self) -> None:
        """Take a Ctrl+C from the terminal, unless it is meant for the program that has it."""
        if not self.attaching.away:
            self.stop_soon(keep_engine=False)

    async def action_quit(self) -> None:
        """Leave, asking first when turns run or others watch."""
        self.leaving.ask()

    def stop_soon(self, keep_engine: bool) -> None:
        """Leave without asking: a signal, or somebody else's `netsky stop`."""
        self.leaving.soon(keep_engine)

    # -- pages -----------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show all keys."""
        self.pages.keys()

    def action_host(self) -> None:
        """Host the home that nobody hosts any more."""
        self.feed.retry()

    def action_notices(self) -> None:
        """Show all notices, whole."""
        self.pages.notices()
