"""Every key of the room, in one table: bindings, help, footer and the operator's own keys."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding, BindingType
from textual.keys import _character_to_key

from netsky_runtime.states import DecisionWord

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Key:
    """One thing a key does. ``id`` is its name in keys.toml."""

    id: str
    keys: str
    action: str
    label: str
    """In the footer; empty keeps it out."""
    help: str
    priority: bool = False
    """Works whatever has the focus."""


SCOPES: dict[str, tuple[Key, ...]] = {
    "app": (
        Key("room.help", "f1", "help", "help", "this help", priority=True),
        Key("room.palette", "ctrl+p", "command_palette", "commands", "all commands", priority=True),
        Key("room.notices", "f2", "notices", "", "what netsky has to tell you", priority=True),
        Key("room.host", "f8", "host", "", "host netsky here, when it was stopped", priority=True),
        Key("room.quit", "ctrl+q", "quit", "quit", "leave the room", priority=True),
    ),
    "room": (
        Key("room.help_list", "question_mark", "app.help", "", "this help (in a list)"),
        Key("room.decide", "f5", "waits", "", "go to what waits for you", priority=True),
        Key("room.next", "tab", "app.focus_next", "", "next pane"),
        Key("room.previous", "shift+tab", "app.focus_previous", "", "previous pane"),
        Key("room.actors", "1", "go('actors')", "", "go to the actors"),
        Key("room.tasks", "2", "go('tasks')", "", "go to the tasks"),
        Key("room.messages", "3", "go('messages')", "", "go to the messages"),
        Key("room.events", "4", "go('events')", "", "go to the selected actor's events"),
        Key("room.approvals", "5", "go('attention')", "", "go to what waits for you"),
        Key("room.compose", "i", "go('composer')", "write", "go to the composer"),
        Key("room.filter", "slash", "filter", "filter", "filter the list; Escape ends it"),
        Key("room.zoom", "z", "zoom", "", "show one pane large, and back"),
    ),
    "rows": (
        Key("rows.up", "up,k", "up", "", "up"),
        Key("rows.down", "down,j", "down", "", "down"),
        Key("rows.page_up", "pageup", "page_up", "", "page up"),
        Key("rows.page_down", "pagedown", "page_down", "", "page down"),
        Key("rows.first", "home,g", "first", "", "first row"),
        Key("rows.last", "end,G", "last", "", "last row"),
        Key("rows.open", "enter", "choose", "open", "open the row"),
    ),
    "actors": (
        Key("actors.target", "t", "target", "talk to", "write to this actor"),
        Key("actors.interrupt", "x", "interrupt", "interrupt", "interrupt this actor's turn"),
        Key("actors.stop", "S", "stop", "", "stop this actor"),
        Key("actors.resume", "R", "resume", "", "resume this actor"),
        Key("actors.attach", "a", "attach", "attach", "Codex's own screen of this actor"),
        Key("actors.move", "M", "move", "move", "take this actor's thread to another door"),
        Key("actors.trace", "T", "trace", "", "trace what this actor's thread has heard"),
    ),
    "tasks": (
        Key("tasks.add", "a", "add", "add", "add a task"),
        Key("tasks.done", "d", "done", "done", "mark the task done"),
        Key("tasks.cancel", "x", "cancel", "cancel", "cancel the task"),
        Key("tasks.note", "N", "note", "", "add a note to the task"),
        Key("tasks.closed", "c", "closed", "", "show or hide closed tasks"),
        Key("tasks.trace", "T", "trace", "", "trace the task: messages, inputs, turns, notes"),
    ),
    "messages": (
        Key("messages.reply", "r", "reply", "reply", "answer the sender"),
        Key("messages.trace", "T", "trace", "trace", "trace how far the message got"),
    ),
    "approvals": (
        Key("approvals.trace", "T", "trace", "", "trace what led to the question"),
        Key("approvals.alike", "A", "alike", "", "answer all that ask the same: lists them first"),
        Key("approvals.rule", "R", "rule", "", "make a rule of it: accepted without asking you"),
        Key("approvals.accept", "y", "decide('accept')", "accept", "accept"),
        Key(
            "approvals.session",
            "s",
            "decide('accept_for_session')",
            "for session",
            "accept, and the same for the rest of the session",
        ),
        Key("approvals.decline", "n", "decide('decline')", "decline", "decline; the turn goes on"),
        Key(
            "approvals.cancel",
            "c",
            "decide('cancel')",
            "cancel",
            "decline and interrupt the turn",
        ),
    ),
    "attention": (
        Key("attention.act", "a", "act", "act", "answer, resume, send or ask again, show a screen"),
        Key("attention.end", "d", "end", "put away", "put away, or let an uncertain message go"),
    ),
    "composer": (
        Key("composer.send", "enter", "send", "send", "send"),
        Key(
            "composer.newline",
            "ctrl+j,shift+enter",
            "newline",
            "newline",
            "new line",
        ),
        Key(
            "composer.target",
            "ctrl+t",
            "target",
            "target",
            "write to the selected actor, or manager0 again",
        ),
        Key("composer.mode", "ctrl+r", "mode", "mode", "when busy: queue, steer or interrupt"),
        Key("composer.leave", "escape", "leave", "lists", "back to the lists; the text stays"),
    ),
    "notices": (
        Key("notices.put_away", "d", "put_away", "put away", "put these away for this session"),
    ),
    "page": (
        Key("page.close", "escape,q", "close", "close", "close"),
        Key("page.help", "f1", "close", "", "close"),
    ),
}
TITLES = {
    "app": "Everywhere",
    "room": "In the room (a key that is a character: outside of the composer)",
    "rows": "In a list",
    "actors": "Actors",
    "tasks": "Tasks",
    "messages": "Messages",
    "attention": "What waits (and is no approval)",
    "approvals": "Approvals (only while their pane or page has the focus)",
    "composer": "Composer",
    "notices": "In the notices",
    "page": "In a page",
}
_PRETTY = {
    "question_mark": "?",
    "slash": "/",
    "enter": "Enter",
    "escape": "Esc",
    "up": "↑",
    "down": "↓",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "tab": "Tab",
}


def deciding() -> dict[DecisionWord, Key]:
    """Return the keys of the approvals that decide, by what they decide."""
    return {
        DecisionWord(key.action.split("'")[1]): key
        for key in SCOPES["approvals"]
        if key.action.startswith("decide(")
    }


def queue_keys() -> tuple[Key, ...]:
    """Return the keys that do something about what waits, each for some of it."""
    return (*deciding().values(), *SCOPES["attention"])


def bindings(scope: str) -> list[BindingType]:
    """Return Textual bindings of a scope; each can be remapped by its id."""
    return [
        Binding(key.keys, key.action, key.label, id=key.id, priority=key.priority, show=False)
        for key in SCOPES[scope]
    ]


def pretty(keys: str) -> str:
    """Say a key as people do: ``Ctrl+Q``, ``Enter``, ``?``."""
    return " ".join(_pretty_one(key) for key in keys.split(","))


def _pretty_one(key: str) -> str:
    *modifiers, last = key.strip().split("+")
    named = _PRETTY.get(
        last, last.upper() if modifiers or (last.startswith("f") and len(last) > 1) else last
    )
    return "+".join([*(modifier.capitalize() for modifier in modifiers), named])


@dataclass(frozen=True, slots=True)
class Keymap:
    """The operator's own keys, and what was wrong with them, in sentences."""

    keys: Mapping[str, str]
    errors: tuple[str, ...] = ()

    def of(self, key: Key) -> str:
        """Return the keys in force for an entry of the table."""
        return self.keys.get(key.id, key.keys)

    def deciding(self, offered: Collection[DecisionWord]) -> str:
        """Say which keys decide a question that offers these words."""
        entries = [key for word, key in deciding().items() if word in offered]
        return " · ".join(f"{pretty(self.of(entry))} {entry.label}" for entry in entries)

    def say(self, name: str) -> str:
        """Return the keys in force for the entry of that name, as people say them."""
        entry = next(key for keys in SCOPES.values() for key in keys if key.id == name)
        return pretty(self.of(entry))


def load(path: Path) -> Keymap:
    """Read keys.toml (``"room.help" = "f3"``). What is wrong in it is told, the rest holds."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Keymap({})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Keymap({}, (f"{path.name} cannot be read: {error}. The usual keys hold.",))
    known = {key.id for keys in SCOPES.values() for key in keys}
    keys: dict[str, str] = {}
    errors: list[str] = []
    for name, value in _flatten(table):
        if name not in known:
            errors.append(f"{path.name}: there is no key named {name!r}; F1 lists the names.")
        elif not isinstance(value, str) or not value.strip():
            errors.append(f"{path.name}: {name} needs a key in quotes, such as {name!r} = 'f2'.")
        else:
            keys[name] = ",".join(
                _normal(part.strip()) for part in value.split(",") if part.strip()
            )
    errors += _clashes(keys, path.name)
    return Keymap(keys, tuple(errors))


def _normal(key: str) -> str:
    return _character_to_key(key) if len(key) == 1 else key


def _flatten(table: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    out: list[tuple[str, object]] = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            out += _flatten(value, f"{prefix}{name}.")
        else:
            out.append((prefix + name, value))
    return out


def _contexts() -> tuple[tuple[Key, ...], ...]:
    """Return the keys that are in force together, one group for each place to be in."""
    everywhere = tuple(key for key in (*SCOPES["app"], *SCOPES["room"]) if key.priority)
    panes = ("actors", "tasks", "messages")
    queue = (*SCOPES["approvals"], *SCOPES["attention"])
    pages = ("approvals", "notices")
    return (
        *((*SCOPES["app"], *SCOPES["room"], *SCOPES["rows"], *SCOPES[name]) for name in panes),
        (*SCOPES["app"], *SCOPES["room"], *SCOPES["rows"], *queue),
        (*everywhere, *SCOPES["composer"]),
        *((*everywhere, *SCOPES["page"], *SCOPES["rows"], *SCOPES[name]) for name in pages),
    )


def _clashes(keys: Mapping[str, str], name: str) -> list[str]:
    """Say which of the operator's own keys stand for two things in one place."""
    errors: dict[str, None] = {}
    for entries in _contexts():
        taken: dict[str, Key] = {}
        for entry in entries:
            for key in keys.get(entry.id, entry.keys).split(","):
                other = taken.setdefault(key, entry)
                if other.action != entry.action and {other.id, entry.id} & set(keys):
                    both = " and ".join(sorted((entry.id, other.id)))
                    errors[f"{name}: {both} are both on {pretty(key)}."] = None
    return list(errors)
