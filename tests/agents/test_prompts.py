"""What threads are told: who they are, whom they answer, how to know an envelope."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime.agents import prompts
from netsky_runtime.agents.authority import role_of
from netsky_runtime.agents.tools import TOOLS
from netsky_runtime.comms.envelope import Letter, input_ids_in, render
from netsky_runtime.errors import UsageError
from netsky_runtime.records import MANAGER0, OWNER, Actor
from netsky_runtime.states import ActorKind, ActorStatus, MessageKind, Source, ToolsDoor
from netsky_runtime.tools_door.naming import SERVER


def actor(actor_id: str, kind: ActorKind, manager_id: str, objective: str = "") -> Actor:
    return Actor(
        id=actor_id,
        kind=kind,
        status=ActorStatus.ACTIVE,
        manager_id=manager_id,
        objective=objective,
        created_at=0,
        updated_at=0,
    )


ACTORS = (
    actor(MANAGER0, ActorKind.MANAGER, OWNER),
    actor("manager2", ActorKind.MANAGER, MANAGER0, "Bring the docs up to date. Costs: $5, 10%."),
    actor("worker7", ActorKind.WORKER, "manager2"),
)
everyone = pytest.mark.parametrize("who", ACTORS, ids=lambda who: who.id)


@everyone
def test_the_first_sentence_says_who_the_actor_is(who: Actor) -> None:
    text = prompts.instructions(who, cwd="/srv/work", tag="k3v9x2mq")
    assert text.startswith(f"You are {who.id}, ")


@everyone
def test_instructions_name_the_folder_the_tag_and_whom_to_answer(who: Actor) -> None:
    text = prompts.instructions(who, cwd="/srv/work", tag="k3v9x2mq")
    assert "`/srv/work`" in text
    assert "the tag `k3v9x2mq`" in text
    assert (who.manager_id or "") in text
    assert who.objective in text


@everyone
def test_instructions_name_every_tool_of_the_role_and_no_other(who: Actor) -> None:
    text = prompts.instructions(who, cwd="/srv/work", tag="k3v9x2mq")
    named = {name for name in TOOLS if f"`{name}`" in text}
    assert named == {name for name, tool in TOOLS.items() if role_of(who) in tool.roles}


@everyone
def test_a_thread_behind_the_mcp_door_is_told_where_its_tools_are(who: Actor) -> None:
    plain = prompts.instructions(who, cwd="/srv/work", tag="k3v9x2mq")
    text = prompts.instructions(
        who, cwd="/srv/work", tag="k3v9x2mq", tools_door=ToolsDoor.MCP, previous_thread="old"
    )
    assert text.startswith(plain.rstrip())
    assert f"`mcp__{SERVER}__`" in text
    assert f"`tool_search` for `{SERVER}`" in text
    assert text.rstrip().endswith("may have been done.")
    assert "tool_search" not in plain


@everyone
def test_instructions_are_short_enough_to_be_read_every_turn(who: Actor) -> None:
    assert len(prompts.instructions(who, cwd="/srv/work", tag="k3v9x2mq").split()) < 750


def test_the_envelope_shown_is_the_envelope_sent() -> None:
    told = prompts.instructions(ACTORS[2], cwd="/srv/work", tag="k3v9x2mq").splitlines()
    sent = render(
        Letter(
            input_id="i-…",
            sender="manager2",
            source=Source.ACTOR,
            kind=MessageKind.TASK,
            sent_at=0,
            tag="k3v9x2mq",
            body="body",
        )
    ).splitlines()
    assert told.index(sent[0]) < told.index(sent[-1])
    for line in sent[1:4]:
        assert any(shown.startswith(line.split(" ")[0]) for shown in told)
    assert input_ids_in("\n".join(told), tag="k3v9x2mq") == ("i-…",)


def test_a_manager_without_an_objective_is_told_that_it_comes() -> None:
    text = prompts.instructions(actor("manager1", ActorKind.MANAGER, MANAGER0), cwd="/w", tag="t")
    assert "not stated yet" in text


def test_a_missing_value_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no value for \$cwd, no value for \$envelopes"):
        prompts.render("manager0", actor_id="manager0")


def test_an_unknown_value_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no place for \$objective"):
        prompts.render("envelopes", tag="t", objective="x")


def test_an_empty_value_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"an empty value for \$tag"):
        prompts.render("envelopes", tag="")


def test_a_stray_dollar_in_a_template_is_refused() -> None:
    with pytest.raises(UsageError, match="starts no placeholder"):
        prompts.fill("costs $5 for $who", {"who": "you"}, name="odd")


@given(st.text(min_size=1))
def test_values_are_taken_as_they_are(value: str) -> None:
    assert prompts.fill("a $x b", {"x": value}, name="plain") == f"a {value} b"
