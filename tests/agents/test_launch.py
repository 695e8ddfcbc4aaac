"""Launch specs carry everything an actor's thread needs, and nothing netsky cannot see."""

from __future__ import annotations

from dataclasses import replace

from netsky_runtime.agents.launch import launch_spec, new_session
from netsky_runtime.records import (
    MANAGER0,
    OWNER,
    Actor,
    ActorKind,
    ActorStatus,
    RuntimeName,
    SessionState,
)
from netsky_runtime.settings import Settings
from tests.support.fakes import CountingIds

ACTOR = Actor(
    id="worker1",
    kind=ActorKind.WORKER,
    status=ActorStatus.ACTIVE,
    manager_id=MANAGER0,
    cwd="/srv/work",
    created_at=1,
    updated_at=1,
)
SESSION = new_session(
    ACTOR,
    Settings(model="gpt-x", effort="high"),
    runtime=RuntimeName.APP_SERVER,
    ids=CountingIds(),
    now=77,
)


def test_a_new_session_takes_the_settings_and_has_no_thread_yet() -> None:
    assert SESSION.state is SessionState.STARTING
    assert SESSION.thread_id == ""
    assert (SESSION.cwd, SESSION.model, SESSION.effort) == ("/srv/work", "gpt-x", "high")
    assert (SESSION.sandbox, SESSION.approval_policy) == ("workspace-write", "on-request")
    assert (SESSION.actor_id, SESSION.started_at) == ("worker1", 77)


def test_a_model_given_for_one_actor_wins() -> None:
    session = new_session(
        ACTOR,
        Settings(model="gpt-x"),
        runtime=RuntimeName.SCRIPTED,
        ids=CountingIds(),
        now=1,
        model="gpt-y",
    )
    assert session.model == "gpt-y"


def test_every_session_has_a_tag_of_its_own() -> None:
    ids = CountingIds()
    tags = {
        new_session(ACTOR, Settings(), runtime=RuntimeName.SCRIPTED, ids=ids, now=1).tag
        for _ in range(3)
    }
    assert len(tags) == 3


def test_codex_sub_agents_and_goals_are_off_whatever_the_session_says() -> None:
    config = {"features": {"multi_agent": True, "web": True}, "model_provider": "local"}
    spec = launch_spec(ACTOR, replace(SESSION, config=config))
    assert spec.config == {
        "features": {"multi_agent": False, "goals": False, "web": True},
        "model_provider": "local",
    }
    assert config["features"] == {"multi_agent": True, "web": True}


def test_a_spec_is_the_session_with_the_actors_instructions_and_tools() -> None:
    spec = launch_spec(ACTOR, SESSION)
    assert (spec.cwd, spec.model, spec.effort) == ("/srv/work", "gpt-x", "high")
    assert (spec.sandbox, spec.approval_policy) == ("workspace-write", "on-request")
    assert spec.instructions.startswith("You are worker1, ")
    assert SESSION.tag in spec.instructions
    assert [tool.name for tool in spec.tools] == [
        "list_tasks",
        "update_task",
        "send_message",
        "add_note",
        "ask_owner",
    ]


def test_manager0_gets_the_tools_of_manager0() -> None:
    manager0 = replace(ACTOR, id=MANAGER0, kind=ActorKind.MANAGER, manager_id=OWNER)
    assert "start_manager" in [tool.name for tool in launch_spec(manager0, SESSION).tools]
