"""How a resident Codex is started: one shell script, every value escaped.

The script is read by ``/bin/sh`` in the pane and removes itself, because it carries the
environment. The companion runs beside Codex in the same session and is ended after it; when the
session is killed, both hear the terminal hang up.

From 0.163 on Codex without any ``-c`` starts a server of its own that outlives it; with one it
does its work itself (0.163.0, 0.169.0). ``notify`` and the trust are always given by ``-c``.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.base import InputRejected
from netsky_runtime.codex.resident.screen import CODE_TOLD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.codex.base import LaunchSpec

PROMPT_VARIABLE: Final = "NETSKY_PROMPT_FILE"
MAX_INSTRUCTIONS: Final = 120_000
"""Bytes: Linux takes no single argument of 128 KiB or more."""
MAX_TEXT: Final = 1 << 20
"""Characters that Codex takes as one message (0.153.4, 0.163.0)."""

LAST_WORDS_SECONDS: Final = 0.2
"""What tmux is given to read them, when Codex ends with an error."""
NOTIFY_BYTES: Final = 1 << 20
"""What Codex has said at the ends of turns is thrown away when it is more, read or not."""
_APPEND: Final = (
    f'{{ [ "$(wc -c < "$0")" -gt {NOTIFY_BYTES} ] && : > "$0"; }} 2>/dev/null; '
    'printf "%s\\n" "$1" >> "$0"'
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_OURS: Final = frozenset({"TERM", "TMUX", "TMUX_PANE", "PWD", "OLDPWD", "SHLVL", "_"})
"""Variables that the pane itself knows better."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNTYPABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OPENS_LIST = re.compile(r"(?:^|\s)[@$]\S*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What lies in the folder of one resident."""

    folder: Path

    @property
    def prompt(self) -> Path:
        """The instructions, read when Codex is started."""
        return self.folder / "prompt.md"

    @property
    def notify(self) -> Path:
        """What Codex says at the end of every turn, one JSON object a line."""
        return self.folder / "notify.jsonl"

    @property
    def script(self) -> Path:
        """The launch script; it removes itself."""
        return self.folder / "launch.sh"

    @property
    def companion_log(self) -> Path:
        """What the companion says."""
        return self.folder / "companion.log"


def codex_command(
    spec: LaunchSpec, *, codex: str, notify: Path, thread_id: str = "", prompt: bool
) -> str:
    """Return the shell command that starts Codex: with its first words, or on an old thread."""
    words = [shlex.quote(codex)]
    if thread_id:
        words.append("resume")
    if spec.model:
        words += ["-m", shlex.quote(spec.model)]
    words += ["-s", shlex.quote(spec.sandbox), "-a", shlex.quote(spec.approval_policy)]
    words.append("--no-alt-screen")
    for key, value in _overrides(spec, notify):
        words += ["-c", shlex.quote(f"{key}={toml(value)}")]
    if thread_id:
        words.append(shlex.quote(thread_id))
    elif prompt:
        # Read at the last moment: a command line that tmux must carry has its limits.
        words += ["--", f'"$(cat "${PROMPT_VARIABLE}")"']
    return " ".join(words)


def script(
    command: str, *, cwd: str, environ: Mapping[str, str], companion: Sequence[str], log: Path
) -> str:
    """Return the launch script. Raises ``InputRejected`` for a variable no shell can carry."""
    lines = ['rm -f -- "$0"']
    for name, value in environ.items():
        if name in _NOT_OURS:
            continue
        if "\0" in value or not _NAME.fullmatch(name):
            if _NAME.fullmatch(name):
                msg = f"The variable {name} of a resident Codex carries a NUL."
                raise InputRejected(msg)
            continue  # an exported shell function, say: nothing Codex could use
        lines.append(f"export {name}={shlex.quote(value)}")
    lines.append(f"cd -- {shlex.quote(cwd)} || exit 3")
    if companion:
        beside = shlex.join(companion)
        lines.append(f"{beside} </dev/null >{shlex.quote(str(log))} 2>&1 &")
        lines.append("companion=$!")
    lines += [command, "code=$?", f"printf '\\r\\n%s %s\\r\\n' {shlex.quote(CODE_TOLD)} \"$code\""]
    # tmux may hear of the end before it has read the last words, and drops them then.
    lines.append(f'[ "$code" -eq 0 ] || sleep {LAST_WORDS_SECONDS}')
    if companion:
        lines.append('kill "$companion" 2>/dev/null')
    lines.append("exit $code")
    return "\n".join(lines) + "\n"


def pane_command(launch: Path) -> str:
    """Return what tmux runs: the script, with nothing of the server's own environment."""
    kept = " ".join(f'{name}="${name}"' for name in ("TERM", "TMUX", "TMUX_PANE"))
    return f"exec env -i {kept} /bin/sh {shlex.quote(str(launch))}"


def check_typable(text: str) -> None:
    """Raise ``InputRejected`` for a text that cannot be typed without becoming something else."""
    if len(text) > MAX_TEXT:
        msg = f"The message has {len(text)} characters; Codex takes {MAX_TEXT}."
        raise InputRejected(msg)
    if found := _UNTYPABLE.search(text):
        msg = f"The message carries the control character {found.group()!r}, a key on a terminal."
        raise InputRejected(msg, hint="app_server takes any text.")
    if not text.strip():
        msg = "An empty message cannot be typed."
        raise InputRejected(msg)
    if text.lstrip()[0] in "/!":
        msg = "Codex's composer takes a text that begins with / or ! for a command."
        raise InputRejected(msg, hint="app_server takes any text.")


def typable(text: str) -> str:
    """Return what to paste so that Codex reads ``text``: it drops blanks at the ends."""
    # A last word that begins with @ or $ opens a list, in which Enter chooses.
    return f"{text} " if _OPENS_LIST.search(text) else text


def toml(value: Any) -> str:
    """Return a value of JSON as TOML on one line. Raises ``InputRejected`` for another."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(value)
        case dict():
            pairs = (f"{_key(str(k))}={toml(v)}" for k, v in value.items() if v is not None)
            return "{" + ",".join(pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(toml(item) for item in value) + "]"
        case _:
            msg = f"Codex's configuration cannot carry {value!r}."
            raise InputRejected(msg)


def _overrides(spec: LaunchSpec, notify: Path) -> list[tuple[str, Any]]:
    # Codex itself asks about the folder that a link leads to.
    folders = (spec.cwd, os.path.realpath(spec.cwd))
    overrides: list[tuple[str, Any]] = [
        ("notify", ["/bin/sh", "-c", _APPEND, str(notify)]),
        ("projects", {folder: {"trust_level": "trusted"} for folder in folders}),
    ]
    if spec.effort:
        overrides.append(("model_reasoning_effort", spec.effort))
    for key, value in spec.config.items():
        # One by one: a whole table given by -c takes the place of the one in config.toml.
        if isinstance(value, dict):
            overrides += [(f"{_key(key)}.{_key(str(k))}", v) for k, v in value.items()]
        else:
            overrides.append((_key(key), value))
    return overrides


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", escaped) + '"'
