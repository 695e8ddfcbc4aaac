"""Launch specs carry everything an actor's thread needs, and nothing netsky cannot see."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.agents.launch import Launcher, new_session
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.comms.bus.folders import prepare_channel
from netsky_runtime.errors import Unhealthy
from netsky_runtime.paths import Home
from netsky_runtime.records import MANAGER0, OWNER, Actor, Session
from netsky_runtime.settings import DoorDefaults, Settings, door_defaults
from netsky_runtime.states import ActorKind, ActorStatus, RuntimeName, SessionState, ToolsDoor
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from netsky_runtime.codex.base import LaunchSpec

HOME = Home(root=Path("/srv/home"), sockets=Path("/srv/home"))

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


def launch(actor: Actor, session: Session, **changes: Any) -> LaunchSpec:
    capabilities = replace(ScriptedRuntime.capabilities, **changes)
    return Launcher(HOME, prepare_channel, ("forward", "outbox")).spec(actor, session, capabilities)


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


@pytest.mark.parametrize("door", [RuntimeName.APP_SERVER, RuntimeName.RESIDENT])
def test_a_sidecars_session_has_the_defaults_of_sidecars_whoever_makes_it(
    door: RuntimeName,
) -> None:
    sidecar = replace(ACTOR, kind=ActorKind.SIDECAR)
    session = new_session(sidecar, Settings(), runtime=door, ids=CountingIds(), now=1)
    chosen = DoorDefaults(
        model=session.model, sandbox=session.sandbox, approval_policy=session.approval_policy
    )
    assert chosen == door_defaults(Settings(), door, sidecar=True)
    assert chosen != door_defaults(Settings(), door)


def test_every_session_has_a_tag_of_its_own() -> None:
    ids = CountingIds()
    tags = {
        new_session(ACTOR, Settings(), runtime=RuntimeName.SCRIPTED, ids=ids, now=1).tag
        for _ in range(3)
    }
    assert len(tags) == 3


def test_codex_sub_agents_and_goals_are_off_whatever_the_session_says() -> None:
    config = {"features": {"multi_agent": True, "web": True}, "model_provider": "local"}
    spec = launch(ACTOR, replace(SESSION, config=config))
    assert spec.config == {
        "features": {"multi_agent": False, "goals": False, "web": True},
        "model_provider": "local",
    }
    assert config["features"] == {"multi_agent": True, "web": True}


def test_a_spec_is_the_session_with_the_actors_instructions_and_tools() -> None:
    spec = launch(ACTOR, SESSION)
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
    assert "start_manager" in [tool.name for tool in launch(manager0, SESSION).tools]


@pytest.mark.parametrize(
    ("started_with", "door_carries_calls", "tools", "server"),
    [
        (ToolsDoor.NONE, True, True, False),
        (ToolsDoor.NONE, False, False, True),
        (ToolsDoor.DYNAMIC, True, True, False),
        (ToolsDoor.DYNAMIC, False, False, True),
        (ToolsDoor.MCP, True, False, True),
        (ToolsDoor.MCP, False, False, True),
    ],
)
def test_a_thread_keeps_its_tools_door_and_gets_the_server_where_nobody_carries_calls(
    started_with: ToolsDoor, door_carries_calls: bool, tools: bool, server: bool
) -> None:
    session = replace(SESSION, tools_door=started_with)
    spec = launch(ACTOR, session, tools=door_carries_calls)
    assert (bool(spec.tools), "mcp_servers" in spec.config) == (tools, server)


@pytest.mark.parametrize("door_carries_calls", [True, False])
def test_a_thread_is_told_of_the_door_that_it_has(door_carries_calls: bool) -> None:
    spec = launch(ACTOR, SESSION, tools=door_carries_calls)
    assert ("mcp__netsky" in spec.instructions) is ("mcp_servers" in spec.config)


@pytest.mark.parametrize("door_carries_calls", [True, False])
def test_a_sidecar_has_no_tools_through_any_door(door_carries_calls: bool) -> None:
    sidecar = replace(ACTOR, kind=ActorKind.SIDECAR)
    spec = launch(sidecar, SESSION, tools=door_carries_calls)
    assert spec.tools == ()
    assert "mcp_servers" not in spec.config
    assert "mcp__netsky" not in spec.instructions


def test_the_tools_server_joins_those_of_the_session_and_knows_its_home_and_token() -> None:
    config = {"mcp_servers": {"own": {"command": "own-server"}}}
    spec = launch(ACTOR, replace(SESSION, config=config), tools=False)
    assert spec.config["mcp_servers"]["own"] == {"command": "own-server"}
    (ours,) = (s for name, s in spec.config["mcp_servers"].items() if name != "own")
    assert {str(HOME.root), SESSION.token} <= set(ours["env"].values())
    assert config == {"mcp_servers": {"own": {"command": "own-server"}}}


def test_where_a_thread_has_an_environment_the_token_is_there_and_in_no_configuration() -> None:
    spec = launch(ACTOR, SESSION, tools=False, environment=True)
    assert spec.environment["NETSKY_TOOLS_TOKEN"] == SESSION.token
    assert SESSION.token not in str(spec.config)
    assert spec.config["mcp_servers"]["netsky"]["env_vars"] == ["NETSKY_TOOLS_TOKEN"]


@pytest.mark.parametrize(("tools", "environment"), [(True, True), (True, False), (False, False)])
def test_a_token_is_in_the_environment_of_no_thread_that_does_not_look_for_it_there(
    tools: bool, environment: bool
) -> None:
    spec = launch(ACTOR, SESSION, tools=tools, environment=environment)
    assert SESSION.token not in spec.environment.values()


@pytest.mark.parametrize(
    ("actor_id", "number"),
    [("manager0", "0"), ("worker7", "7"), ("worker12", "12"), ("manager1", None), ("docs", None)],
)
def test_what_runs_beside_a_thread_knows_the_actor_by_name_and_number(
    actor_id: str, number: str | None
) -> None:
    kind = ActorKind.WORKER if actor_id.startswith("worker") else ActorKind.MANAGER
    manager_id = OWNER if actor_id == MANAGER0 else MANAGER0
    actor = replace(ACTOR, id=actor_id, kind=kind, manager_id=manager_id)
    spec = launch(actor, replace(SESSION, actor_id=actor_id))
    assert (spec.label, spec.mark) == (actor_id, SESSION.tag)
    assert spec.environment.get("AGENT_N") == number
    assert spec.environment["NETSKY_HOME"] == str(HOME.root)
    assert spec.environment["CODEX_CHANNEL_DIR"] == str(HOME.channels / actor_id)
    assert spec.companion == ("forward", "outbox", actor_id)


def test_nothing_runs_beside_a_thread_whose_outbox_nobody_carries() -> None:
    launcher = Launcher(HOME, prepare_channel, ())
    assert launcher.spec(ACTOR, SESSION, ScriptedRuntime.capabilities).companion == ()


def test_a_thread_that_takes_over_is_told_which_conversation_it_does_not_remember() -> None:
    told = launch(ACTOR, replace(SESSION, previous_thread_id="th-old")).instructions
    assert "th-old" in told
    assert "remember nothing" in told
    assert "remember nothing" not in launch(ACTOR, SESSION).instructions


def test_an_actors_folders_are_private_and_made_once(tmp_path: Path) -> None:
    home = Home(root=tmp_path, sockets=tmp_path)
    for _ in range(2):
        Launcher(home, prepare_channel, ()).make_folders("worker1")
    for folder in (home.channels, home.channels / "worker1", home.attach / "worker1"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_link_in_the_place_of_an_actors_folder_is_refused(tmp_path: Path) -> None:
    home = Home(root=tmp_path, sockets=tmp_path)
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    home.channels.mkdir()
    (home.channels / "worker1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unhealthy, match="is a symbolic link"):
        Launcher(home, prepare_channel, ()).make_folders("worker1")
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o755


def test_a_file_in_the_place_of_an_actors_folder_is_said(tmp_path: Path) -> None:
    home = Home(root=tmp_path, sockets=tmp_path)
    home.channels.write_text("")
    with pytest.raises(Unhealthy, match="cannot be used"):
        Launcher(home, prepare_channel, ()).make_folders("worker1")


def test_a_resident_session_has_the_defaults_of_a_door_whose_approvals_nobody_watches() -> None:
    session = new_session(ACTOR, Settings(), runtime=RuntimeName.RESIDENT, ids=CountingIds(), now=1)
    assert (session.sandbox, session.approval_policy) == ("danger-full-access", "never")
    assert session.model == "gpt-5.4"
