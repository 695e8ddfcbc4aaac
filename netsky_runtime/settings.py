"""What an operator can set: defaults, then the settings table, then the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from netsky_runtime.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = {
    "AGENT_RUNTIME": "runtime",
    "AGENT_CODEX_MODEL": "model",
    "AGENT_CODEX_SANDBOX": "sandbox",
    "AGENT_CODEX_APPROVAL": "approval_policy",
    "NETSKY_CODEX_BIN": "codex_bin",
}


class Settings(BaseModel):
    """Every setting with its default. Keys are the field names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: Literal["auto", "app_server", "scripted"] = "auto"
    """Door to Codex for new actors."""
    model: str = ""
    """Model of new threads; empty leaves it to Codex's own configuration."""
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
    max_live_workers: int = Field(default=16, ge=1, le=500)
    """More workers wait as open tasks."""
    turn_start_seconds: float = Field(default=60.0, gt=0, le=600)
    """How long Codex may take to accept a turn."""
    request_seconds: float = Field(default=30.0, gt=0, le=600)
    """How long Codex may take to answer any other request."""


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
        raise UsageError(msg) from error


def check(key: str, value: str) -> None:
    """Raise ``NotFound`` for an unknown key, ``UsageError`` for a bad value."""
    if key not in Settings.model_fields:
        known = ", ".join(sorted(Settings.model_fields))
        msg = f"There is no setting {key!r}."
        raise NotFound(msg, hint=f"Settings are: {known}.")
    load({key: value}, environ={})


def allowed_roots(settings: Settings, cwd: Path) -> tuple[Path, ...]:
    """Return the folders that actors may work in; ``cwd`` is where netsky was started."""
    roots = [part for part in settings.allowed_roots.split(":") if part]
    chosen = [Path(part).expanduser() for part in roots] or [work_dir(settings, cwd)]
    return tuple(root.resolve() for root in chosen)


def work_dir(settings: Settings, cwd: Path) -> Path:
    """Return where new actors work by default."""
    return Path(settings.work_dir).expanduser() if settings.work_dir else cwd
