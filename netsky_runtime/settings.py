"""What an operator can set: defaults, then the settings table, then the environment."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from netsky_runtime.attention.ringing import QuietHours, RingBy
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.states import RuntimeName
from netsky_runtime.tilde import expand

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT = {
    "AGENT_RUNTIME": "runtime",
    "AGENT_CODEX_MODEL": "model",
    "AGENT_CODEX_SANDBOX": "sandbox",
    "AGENT_CODEX_APPROVAL": "approval_policy",
    "NETSKY_CODEX_BIN": "codex_bin",
}


BUDGETS: Final = frozenset({"worker_budget", "task_budget", "day_budget"})
"""Read from the settings table whenever they matter: a change holds at once."""


class Settings(BaseModel):
    """Every setting with its default. Keys are the field names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: Literal["auto", "app_server", "mcp_server", "resident", "scripted"] = "auto"
    """Door to Codex for new actors; ``auto`` is the first that answers, in this order."""
    model: str = ""
    """Model of new threads; empty leaves it to Codex's own configuration. See ``door_defaults``."""
    effort: str = ""
    """Reasoning effort of new threads; empty leaves it to Codex."""
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"] = "workspace-write"
    """What commands of new threads may touch."""
    approval_policy: Literal["untrusted", "on-request", "never"] = "on-request"
    """When Codex asks. ``never`` means nobody is asked."""
    codex_bin: str = ""
    """Codex binary; empty: ``codex`` on PATH, else the openai-codex-cli-bin package."""
    work_dir: str = ""
    """Where new actors work; empty: the folder netsky was started in."""
    allowed_roots: str = ""
    """Folders an actor's cwd must lie under, separated by ``:``; empty: work_dir only."""
    worker_budget: int = Field(default=0, ge=0)
    """Tokens that each worker may use in all, unless set for it; 0: no bound."""
    task_budget: int = Field(default=0, ge=0)
    """Tokens that may be used for each task, unless set for it; 0: no bound."""
    day_budget: int = Field(default=0, ge=0)
    """Tokens that all together may use from midnight to midnight, unless set; 0: no bound."""
    max_live_workers: int = Field(default=16, ge=1, le=500)
    """More workers wait as open tasks."""
    respawns: int = Field(default=5, ge=1, le=1_000)
    """How often an actor's lost thread is brought back within 10 minutes; then it is parked."""
    turn_start_seconds: float = Field(default=60.0, gt=0, le=600)
    """How long Codex may take to accept a turn."""
    request_seconds: float = Field(default=30.0, gt=0, le=600)
    """How long Codex may take to answer any other request."""
    silent_turn_seconds: float = Field(default=300.0, ge=1, le=86_400)
    """How long a turn may give no sign of life before its history is read, and how long again
    before it is interrupted."""
    silent_command_seconds: float = Field(default=1_800.0, ge=1, le=604_800)
    """The same while a command or another tool of the turn runs, and behind a door that tells no
    live text (resident)."""
    ring: RingBy = "both"
    """How the owner is told that something waits: the bell of each room, the desktop."""
    quiet_hours: str = ""
    """When nobody is rung for, such as ``22:00-07:00``, in the daemon's local time."""
    events_keep_days: int = Field(default=30, ge=1, le=36_500)
    """Age past which events are deleted, but for those that a trace needs."""
    events_keep_rows: int = Field(default=1_000_000, ge=10_000, le=1_000_000_000)
    """How many events are kept; past it the oldest go first, whatever their age."""
    logs_keep_days: int = Field(default=30, ge=1, le=36_500)
    """Age past which rows of the log are deleted."""
    logs_keep_rows: int = Field(default=100_000, ge=1_000, le=1_000_000_000)
    """How many rows of the log are kept."""
    backup_keep: int = Field(default=7, ge=0, le=1_000)
    """How many daily copies of the database are kept; 0: none is taken by itself."""

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, value: str) -> str:
        try:
            QuietHours.parse(value)
        except ValueError as error:
            raise PydanticCustomError("quiet_hours", "{why}", {"why": str(error)}) from error
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorDefaults:
    """What a new thread behind one door is started with, unless its actor was given otherwise."""

    model: str
    sandbox: str
    approval_policy: str


SIDECAR: Final = "sidecar"
"""The one-turn runs of ``netsky codex``."""
UNWATCHED: Final = MappingProxyType(
    {
        RuntimeName.RESIDENT.value: DoorDefaults(
            model="gpt-5.4", sandbox="danger-full-access", approval_policy="never"
        ),
        SIDECAR: DoorDefaults(
            model="gpt-5.4-mini", sandbox="danger-full-access", approval_policy="never"
        ),
    }
)
"""Defaults where nobody watches approvals: a question there would only stop the work."""


def door_defaults(
    settings: Settings, runtime: RuntimeName, *, sidecar: bool = False
) -> DoorDefaults:
    """Return the model, sandbox and approval policy of a new thread.

    What was set (in the settings table, the environment or on the command line, be it to the
    common default) holds for every door; only what was not differs between them.
    """
    own = UNWATCHED.get(SIDECAR if sidecar else runtime.value)

    def value(key: str) -> str:
        source = settings if own is None or key in settings.model_fields_set else own
        return str(getattr(source, key))

    return DoorDefaults(
        model=value("model"), sandbox=value("sandbox"), approval_policy=value("approval_policy")
    )


def own_defaults(key: str) -> dict[str, str]:
    """Return door to default for a setting whose default is another one there."""
    return {door: getattr(own, key) for door, own in UNWATCHED.items() if hasattr(own, key)}


def load(
    stored: Mapping[str, str], environ: Mapping[str, str] | None = None, **flags: Any
) -> Settings:
    """Combine stored rows, environment and command-line flags, later ones winning.

    Raises ``UsageError`` naming the setting, its value and where it came from.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, tuple[Any, str]] = {}
    for key, value in stored.items():
        if key in Settings.model_fields:
            values[key] = (value, "settings")
    for name, key in ENVIRONMENT.items():
        if environ.get(name):
            values[key] = (environ[name], name)
    for key, value in flags.items():
        if value is not None:
            values[key] = (value, "command line")
    try:
        return Settings.model_validate({key: value for key, (value, _) in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        value, origin = values.get(key, ("", "?"))
        msg = f"Setting {key} = {value!r} (from {origin}) is not valid: {first['msg']}."
        raise UsageError(msg, hint=_way_out(key, origin)) from error


def valid(stored: Mapping[str, str]) -> dict[str, str]:
    """Return the stored rows without those that are not valid by themselves.

    For who must get by until they are set right: the start of a daemon refuses them by name.
    """
    kept = {}
    for key, value in stored.items():
        try:
            load({key: value}, environ={})
        except UsageError:
            continue
        kept[key] = value
    return kept


def _way_out(key: str, origin: str) -> str:
    if origin in ENVIRONMENT:
        return f"Give {origin} a valid value, or unset it."
    if origin == "settings":
        return f'Give a valid one; `netsky settings set {key} ""` takes the default again.'
    return "Give a valid one, or leave it out."


def check(key: str, value: str) -> None:
    """Raise ``NotFound`` for an unknown key, ``UsageError`` for a bad value.

    An empty value is the default, so it is never bad. What a value names must
    be there when it is set; a folder may vanish later.
    """
    if key not in Settings.model_fields:
        known = ", ".join(sorted(Settings.model_fields))
        msg = f"There is no setting {key!r}."
        raise NotFound(msg, hint=f"Settings are: {known}.")
    if not value:
        return
    load({key: value}, environ={})
    if key == "codex_bin" and shutil.which(expand(value)) is None:
        msg = f"There is no Codex at {value}, or it cannot be executed."
        raise UsageError(msg, hint='Give the path of a Codex, or "" for the one on PATH.')
    if key in {"work_dir", "allowed_roots"}:
        for part in _parts(value) if key == "allowed_roots" else [value]:
            _check_folder(key, expand(part))


def _check_folder(key: str, folder: Path) -> None:
    if not folder.is_absolute():
        msg = f"{key} needs whole paths, and {folder} depends on where netsky is started."
        raise UsageError(msg, hint=f"Perhaps {folder.absolute()}.")
    if not folder.is_dir():
        msg = f"There is no folder {folder}."
        raise UsageError(msg, hint=f"Make it first, or give {key} another one.")


def _parts(roots: str) -> list[str]:
    return [part for part in roots.split(":") if part]


def allowed_roots(settings: Settings, cwd: Path) -> tuple[Path, ...]:
    """Return the folders that actors may work in; ``cwd`` is where netsky was started."""
    roots = _parts(settings.allowed_roots)
    chosen = [expand(part) for part in roots] or [work_dir(settings, cwd)]
    return tuple(root.resolve() for root in chosen)


def work_dir(settings: Settings, cwd: Path) -> Path:
    """Return where new actors work by default."""
    return expand(settings.work_dir) if settings.work_dir else cwd
