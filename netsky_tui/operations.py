"""What the operator can have done: each is one verb of the daemon, asked politely."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netsky_runtime.errors import DatabaseError, NetskyError, NoDaemon
from netsky_runtime.states import ApprovalKind, DecisionWord
from netsky_tui.drawing.paragraphs import choices, question_id
from netsky_tui.screens.dialogs import ChoiceScreen, Field, FormScreen, Option

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Approval
    from netsky_runtime.attention.items import Action
    from netsky_tui.app import RoomApp

_OTHER = "something else"


class Operations:
    """Asks for what is missing, calls the verb, tells the outcome."""

    def __init__(self, app: RoomApp) -> None:
        self._app = app

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call a verb. Raises ``NetskyError``; ``NoDaemon`` while there is none."""
        handle = self._app.feed.handle
        if handle is None:
            msg = "The daemon is not there yet."
            raise NoDaemon(msg, hint="Nothing is lost; try again in a moment.")
        try:
            answer = await handle.call(method, params or {})
        except sqlite3.Error as error:
            msg = f"The database refused: {error}."
            raise DatabaseError(msg, hint="Run `netsky doctor`.") from error
        self._app.feed.touch()
        return answer

    async def tell(self, done: str, method: str, params: Mapping[str, Any]) -> bool:
        """Call a verb and say that it is done, or why not."""
        try:
            answer = await self.call(method, params)
        except NetskyError as error:
            self._app.say(str(error), bad=True)
            return False
        self._app.say(done.format_map({key: str(value) for key, value in answer.items()}))
        return True

    # -- actors ----------------------------------------------------------------------------

    async def start_manager(self) -> None:
        """Start a manager."""
        fields = (
            Field("objective", "Objective", hint="what this lane is for", needed=True),
            Field("name", "Name", hint="empty: the next free one"),
        )
        if (said := await self._form("Start a manager", "", fields)) is not None:
            given = {key: value for key, value in said.items() if value}
            await self.tell("{actor_id} started.", "actors.start_manager", given)

    async def start_worker(self) -> None:
        """Start a worker on a new task."""
        fields = (
            Field("title", "Title", hint="one concrete task", needed=True),
            Field("body", "What to do", needed=True),
            Field("manager", "Manager", hint="empty: manager0"),
            Field("cwd", "Folder", hint="empty: where netsky was started"),
            Field("priority", "Priority", hint="P0 to P3, empty: P2"),
        )
        if (said := await self._form("Start a worker", "", fields)) is not None:
            given = {key: value for key, value in said.items() if value}
            await self.tell("{task_id} is {status}.", "actors.start_worker", given)

    async def interrupt(self, actor_id: str) -> None:
        """Interrupt an actor's turn."""
        if actor_id and await self._sure(f"Interrupt the turn of {actor_id}?", "interrupt it"):
            await self.tell(
                f"{actor_id} is interrupted.", "actors.interrupt", {"actor_id": actor_id}
            )

    async def stop_actor(self, actor_id: str) -> None:
        """Stop an actor."""
        text = f"Stop {actor_id}? Its turn ends and it takes no more messages until resumed."
        if actor_id and await self._sure(text, "stop it"):
            try:
                answer = await self.call("actors.stop", {"actor_id": actor_id})
            except NetskyError as error:
                self._app.say(str(error), bad=True)
                return
            left = answer.get("left")
            stays = f" Its Codex was left in tmux: {left}. Stop it again to end it." if left else ""
            self._app.say(f"{actor_id} is stopped.{stays}")

    async def resume(self, actor_id: str) -> None:
        """Resume an actor, and say what it still waits for."""
        if not actor_id:
            return
        try:
            answer = await self.call("actors.resume", {"actor_id": actor_id})
        except NetskyError as error:
            self._app.say(str(error), bad=True)
            return
        held = answer.get("held")
        waits = f"{actor_id} is back, and still waits: {held}. To let it go: {answer.get('remedy')}"
        self._app.say(waits if held else f"{actor_id} is back.")

    async def move(self, actor_id: str) -> None:
        """Ask which door an actor's thread is to go through, and take it there."""
        facts = self._app.store.facts(actor_id)
        if facts is None:
            return
        try:
            ways = (await self.call("actors.ways", {"actor_id": actor_id}))["ways"]
        except NetskyError as error:
            self._app.say(str(error), bad=True)
            return
        closed = {str(way["runtime"]): str(way["closed"]) for way in ways}
        if all(closed.values()):
            *_, why = closed.values()
            self._app.say(f"{actor_id} cannot move: {why}.", bad=True)
            return
        options = [
            Option(door, door[0], f"{door}: {why}" if why else door) for door, why in closed.items()
        ]
        options.append(Option("stay", "s", "leave it"))
        begun = facts.session is not None and facts.session.thread_id
        goes_on = "goes on" if begun else "begins"
        text = f"The conversation {goes_on} behind the other door."
        if facts.turn is not None:
            text += f" {actor_id} is in the middle of a turn, which ends."
        choice = await self._choice(f"Where is {actor_id} to go?", text, options, safe="stay")
        if choice is None or choice == "stay":
            return
        if why := closed[choice]:
            self._app.say(f"{choice}: {why}.", bad=True)
            return
        params = {"actor_id": actor_id, "runtime": choice, "interrupt": facts.turn is not None}
        await self.tell("{actor_id} is on {runtime} now.", "actors.move", params)

    def _screen_of(self, actor_id: str) -> str:
        """Say what Codex's screen of an actor is for, or why there is none."""
        why = self._app.store.lacks(actor_id).get("terminal")
        return f"not here: {why}" if why else "type there as its owner; the room comes back"

    # -- tasks -----------------------------------------------------------------------------

    async def add_task(self) -> None:
        """Add a task."""
        fields = (
            Field("title", "Title", needed=True),
            Field("body", "What to do"),
            Field("priority", "Priority", hint="P0 to P3, empty: P2"),
            Field("depends_on", "After", hint="ids of tasks, such as: t3 t4"),
        )
        if (said := await self._form("Add a task", "", fields)) is None:
            return
        given: dict[str, Any] = {key: value for key, value in said.items() if value}
        if "depends_on" in given:
            given["depends_on"] = given["depends_on"].replace(",", " ").split()
        await self.tell("{task_id} added.", "tasks.add", given)

    async def task_done(self, task_id: str) -> None:
        """Mark a task done."""
        if task_id and await self._sure(f"Mark {task_id} done?", "done"):
            await self.tell(f"{task_id} is done.", "tasks.done", {"id": task_id})

    async def task_cancel(self, task_id: str) -> None:
        """Cancel a task."""
        if task_id and await self._sure(f"Cancel {task_id}?", "cancel it"):
            await self.tell(f"{task_id} is cancelled.", "tasks.cancel", {"id": task_id})

    async def add_note(self, task_id: str) -> None:
        """Add a note, on a task if one is named."""
        title = f"Note on {task_id}" if task_id else "Note"
        said = await self._form(title, "", (Field("body", "Note", needed=True),))
        if said is not None:
            given = {"body": said["body"]} | ({"task_id": task_id} if task_id else {})
            await self.tell("Note kept.", "notes.add", given)

    # -- what waits ------------------------------------------------------------------------

    async def act(self, action: Action) -> None:
        """Do something about what waits, asking first where it could spoil anything."""
        if not action.sure or await self._sure(action.sure, action.label):
            await self.tell(f"Done: {action.label}.", action.method, action.params)

    # -- inputs that nobody can tell about -------------------------------------------------

    async def resolve_input(self, input_id: str) -> None:
        """Let the operator decide about an uncertain input."""
        text = "netsky cannot tell whether the thread has this message. Look at its events first."
        options = (
            Option("resend", "r", "send it again"),
            Option("drop", "d", "let it go"),
            Option("later", "l", "decide later"),
        )
        choice = await self._choice("Uncertain", text, options, safe="later")
        if choice in {"resend", "drop"}:
            params = {"input_id": input_id, "action": choice}
            await self.tell("It is {status} now.", "inputs.resolve", params)

    # -- approvals -------------------------------------------------------------------------

    async def answer(self, approval: Approval) -> dict[str, Any] | None:
        """Ask the operator each question of an approval; None when he gives up."""
        out: dict[str, Any] = {}
        questions = approval.questions or _from_schema(approval.raw)
        for number, question in enumerate(questions, start=1):
            text = str(question.get("question") or question.get("header") or "Answer")
            given = await self._one_answer(approval, text, question)
            if given is None:
                return None
            out[question_id(question, number)] = given
        return out

    async def _one_answer(
        self, approval: Approval, text: str, question: Mapping[str, Any]
    ) -> str | None:
        title = f"{approval.actor_id} asks"
        offered = choices(question)
        if offered:
            options = [
                Option(label, str(index), f"{label} — {about}" if about else label)
                for index, (label, about) in enumerate(offered[:8], start=1)
            ]
            options.append(Option(_OTHER, "o", _OTHER + "…"))
            choice = await self._app.push_screen_wait(ChoiceScreen(title, text, options))
            if choice != _OTHER:
                return choice
        secret = bool(question.get("isSecret"))
        field = Field("answer", "Answer", needed=True, secret=secret)
        said = await self._form(title, text, (field,))
        return said["answer"] if said is not None else None

    async def decide(self, approval: Approval, word: DecisionWord) -> str:
        """Send a decision; return a sentence when it did not get through."""
        params: dict[str, Any] = {"id": approval.id, "decision": word.value}
        asks = approval.kind in {ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION}
        if asks and word is DecisionWord.ACCEPT:
            answer = await self.answer(approval)
            if answer is None:
                return "Not answered yet."
            params["answer"] = answer
        try:
            await self.call("approvals.decide", params)
        except NetskyError as error:
            return str(error)
        return ""

    # -- asking ----------------------------------------------------------------------------

    async def _sure(self, text: str, yes: str) -> bool:
        options = (Option("yes", "y", yes), Option("no", "n", "leave it"))
        return await self._choice("Sure?", text, options, safe="no") == "yes"

    async def _choice(
        self, title: str, text: str, options: Sequence[Option], *, safe: str
    ) -> str | None:
        screen = ChoiceScreen(title, text, options, safe=safe, hurried=self._app.hurried)
        return await self._app.push_screen_wait(screen)

    async def _form(
        self, title: str, text: str, fields: tuple[Field, ...]
    ) -> dict[str, str] | None:
        return await self._app.push_screen_wait(FormScreen(title, text, fields))

    def commands(self) -> tuple[tuple[str, str, Callable[[], Awaitable[None]]], ...]:
        """Return what the command palette offers: name, help, what to do."""
        actor, row = self._app.selected_actor, self._app.room.tasks.view.current
        task, closed = (row.key, row.status.closed) if row is not None else ("", False)
        out: list[tuple[str, str, Callable[[], Awaitable[None]]]] = [
            ("Start a manager…", "a lane with an objective of its own", self.start_manager),
            ("Start a worker…", "one concrete task", self.start_worker),
            ("Add a task…", "for somebody to take", self.add_task),
            ("Add a note…", "kept with everything else", lambda: self.add_note("")),
            ("Rules…", "commands that are accepted without asking you", self._app.decisions.rules),
        ]
        if actor:
            out += [
                (f"Interrupt {actor}", "end its running turn", lambda: self.interrupt(actor)),
                (f"Stop {actor}", "it takes no more messages", lambda: self.stop_actor(actor)),
                (f"Resume {actor}", "after a stop or a loss", lambda: self.resume(actor)),
                (
                    f"Attach: Codex's own screen of {actor}",
                    self._screen_of(actor),
                    lambda: self._app.attaching.attach(actor),
                ),
                (
                    f"Move {actor} to another door…",
                    "app_server, mcp_server or resident",
                    lambda: self.move(actor),
                ),
            ]
        if task and not closed:
            out += [
                (f"Mark {task} done", "its dependents start", lambda: self.task_done(task)),
                (f"Cancel {task}", "nobody does it", lambda: self.task_cancel(task)),
            ]
        if task:
            out.append(
                (f"Add a note to {task}…", "kept with the task", lambda: self.add_note(task))
            )
        return tuple(out)


def _from_schema(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Make questions of the form an MCP server wants filled in."""
    schema = raw.get("requestedSchema")
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(fields, Mapping):
        return ()
    out = []
    for name, about in fields.items():
        known = about if isinstance(about, Mapping) else {}
        text = str(known.get("title") or known.get("description") or name)
        labels = [{"label": str(value)} for value in known.get("enum") or ()]
        out.append({"id": name, "question": text, "options": labels})
    return tuple(out)
