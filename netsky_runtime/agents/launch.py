"""What an actor's thread is started and resumed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.agents import prompts, tools
from netsky_runtime.agents.authority import role_of
from netsky_runtime.codex.base import LaunchSpec
from netsky_runtime.records import Actor, RuntimeName, Session, SessionState

if TYPE_CHECKING:
    from netsky_runtime.clock import Ids
    from netsky_runtime.settings import Settings

FEATURES_OFF = {"multi_agent": False, "goals": False}
"""Codex's own sub-agents and goals hide approvals in threads netsky does not know."""


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
    return Session(
        id=ids.new("s"),
        actor_id=actor.id,
        runtime=runtime,
        state=SessionState.STARTING,
        cwd=actor.cwd,
        model=model or settings.model,
        effort=settings.effort,
        sandbox=settings.sandbox,
        approval_policy=settings.approval_policy,
        tag=ids.tag(),
        started_at=now,
    )


def launch_spec(actor: Actor, session: Session) -> LaunchSpec:
    """Return everything the session's thread is started or resumed with."""
    features: dict[str, Any] = {**session.config.get("features", {}), **FEATURES_OFF}
    return LaunchSpec(
        cwd=session.cwd,
        instructions=prompts.instructions(actor, cwd=session.cwd, tag=session.tag),
        sandbox=session.sandbox,
        approval_policy=session.approval_policy,
        model=session.model,
        effort=session.effort,
        config={**session.config, "features": features},
        tools=tools.specs_for(role_of(actor)),
    )
