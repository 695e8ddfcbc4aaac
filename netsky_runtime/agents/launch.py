"""What an actor's thread is started and resumed with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.agents import prompts, tools
from netsky_runtime.agents.authority import role_of
from netsky_runtime.agents.tools_config import mcp_server_config
from netsky_runtime.codex.base import LaunchSpec
from netsky_runtime.errors import Unhealthy
from netsky_runtime.records import MANAGER0, Actor, Session
from netsky_runtime.settings import door_defaults
from netsky_runtime.states import ActorKind, RuntimeName, SessionState, ToolsDoor
from netsky_runtime.tools_door.naming import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.clock import Ids
    from netsky_runtime.codex.base import Capabilities
    from netsky_runtime.paths import Home
    from netsky_runtime.settings import Settings

FEATURES_OFF: Final = {"multi_agent": False, "goals": False}
"""Codex's own sub-agents and goals hide approvals in threads netsky does not know."""
_NUMBERED = re.compile(r"worker([1-9][0-9]*)")


def new_session(
    actor: Actor,
    settings: Settings,
    *,
    runtime: RuntimeName,
    ids: Ids,
    now: int,
    model: str = "",
) -> Session:
    """Return the session of an actor that has none; ``model`` overrides the settings'.

    Its thread starts with the first input.
    """
    defaults = door_defaults(settings, runtime, sidecar=actor.kind is ActorKind.SIDECAR)
    return Session(
        id=ids.new("s"),
        actor_id=actor.id,
        runtime=runtime,
        state=SessionState.STARTING,
        cwd=actor.cwd,
        model=model or defaults.model,
        effort=settings.effort,
        sandbox=defaults.sandbox,
        approval_policy=defaults.approval_policy,
        tag=ids.tag(),
        token=ids.token(),
        started_at=now,
    )


def tools_door(session: Session, capabilities: Capabilities) -> ToolsDoor:
    """Return how the session's thread reaches netsky's tools, or will when it starts here."""
    if session.tools_door is not ToolsDoor.NONE:
        return session.tools_door
    return ToolsDoor.DYNAMIC if capabilities.tools else ToolsDoor.MCP


@dataclass(frozen=True, slots=True)
class Launcher:
    """Makes launch specs for the actors of one home."""

    home: Home
    make_channel: Callable[[Home, str], None]
    """Makes the folders of an actor on the file bus. Blocking; raises ``Unhealthy``."""
    forwarder: Sequence[str]
    """Command that delivers what an actor puts into its outbox there, but for the actor's id, which
    comes last; empty when nothing does."""

    def spec(self, actor: Actor, session: Session, capabilities: Capabilities) -> LaunchSpec:
        """Return everything the session's thread is started or resumed with.

        ``capabilities`` are those of the door it goes through: a thread whose tools Codex asks
        netsky for keeps them, and gets the MCP server as well where nobody carries such calls.
        """
        offered = tools.specs_for(role_of(actor))
        dynamic = tools_door(session, capabilities) is ToolsDoor.DYNAMIC and capabilities.tools
        behind = ToolsDoor.NONE
        if offered:
            behind = ToolsDoor.DYNAMIC if dynamic else ToolsDoor.MCP
        config = _merged(session.config, {"features": FEATURES_OFF})
        environment = self._environment(actor.id)
        if behind is ToolsDoor.MCP and capabilities.environment:
            # Its configuration may be on a command line, which everybody on the machine can read.
            environment[TOKEN_VARIABLE] = session.token
            config = _merged(config, mcp_server_config(home=self.home, token=None))
        elif behind is ToolsDoor.MCP:
            config = _merged(config, mcp_server_config(home=self.home, token=session.token))
        return LaunchSpec(
            cwd=session.cwd,
            instructions=prompts.instructions(
                actor,
                cwd=session.cwd,
                tag=session.tag,
                tools_door=behind,
                previous_thread=session.previous_thread_id,
            ),
            sandbox=session.sandbox,
            approval_policy=session.approval_policy,
            model=session.model,
            effort=session.effort,
            config=config,
            tools=offered if behind is ToolsDoor.DYNAMIC else (),
            mark=session.tag,
            label=actor.id,
            companion=(*self.forwarder, actor.id) if self.forwarder else (),
            environment=environment,
        )

    def make_folders(self, actor_id: str) -> None:
        """Make the actor's folders, private to this user, before its thread starts.

        Blocking. Raises ``Unhealthy`` when one cannot be made.
        """
        self.make_channel(self.home, actor_id)
        for folder in (self.home.attach, self.home.attach / actor_id):
            _make_private(folder)

    def _environment(self, actor_id: str) -> dict[str, str]:
        """Return what tells a resident Codex, and what runs beside it, who it is."""
        environment = {
            "NETSKY_HOME": str(self.home.root),
            "CODEX_CHANNEL_DIR": str(self.home.channels / actor_id),
        }
        number = "0" if actor_id == MANAGER0 else ""
        if match := _NUMBERED.fullmatch(actor_id):
            number = match[1]
        if number:
            environment["AGENT_N"] = number
        return environment


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink():
            msg = f"{folder} is a link, and what is written there could go anywhere."
            raise Unhealthy(msg, hint="Remove the link; netsky makes the folder.")
        folder.chmod(0o700)
    except OSError as error:
        msg = f"The folder {folder} cannot be made: {error.strerror or error}."
        raise Unhealthy(msg, hint="Move what is in its place out of the way.") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid upon it, tables within tables, both left as they are."""
    merged = dict(base)
    for key, value in over.items():
        present = merged.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            merged[key] = _merged(present, value)
        else:
            merged[key] = value
    return merged
