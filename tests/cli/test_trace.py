"""``netsky trace`` tells the way of a message, whichever id of it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import inputs
from netsky_tui.cli.exits import Exit
from tests.cli import world

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import ActorInput
    from tests.cli.conftest import Netsky, Seed


async def first_input(tx: Tx) -> ActorInput:
    return (await inputs.open_for(tx, "manager0"))[0]


@pytest.fixture
def sent(seed: Seed) -> ActorInput:
    seed(world.build)
    return seed(first_input)


def test_a_message_and_its_input_tell_the_same_way(netsky: Netsky, sent: ActorInput) -> None:
    by_message = netsky("trace", sent.message_id)
    by_input = netsky("trace", sent.id)

    assert by_message.status == Exit.OK
    assert by_message.out == by_input.out
    assert "queued      netsky stored it" in by_message.out
    assert sent.id in by_message.out


def test_json_has_the_steps_with_their_times(netsky: Netsky, sent: ActorInput) -> None:
    told = netsky("trace", sent.id, "--json").data

    (message,) = told["messages"]
    (step,) = message["inputs"][0]["steps"]
    assert (told["kind"], message["id"]) == ("input", sent.message_id)
    assert (step["step"], step["known_by"]) == ("queued", "netsky stored it")
    assert step["at"].endswith("Z")


def test_a_task_is_traced_with_its_notes(netsky: Netsky, sent: ActorInput) -> None:
    told = netsky("trace", "t1", "--json").data

    assert (told["kind"], told["task"]["id"]) == ("task", "t1")


def test_what_others_wrote_does_no_harm_to_the_terminal(netsky: Netsky, sent: ActorInput) -> None:
    assert "\x1b" not in netsky("trace", sent.message_id).out
    assert "\x1b" not in netsky("trace", "t1").out


def test_an_id_of_nothing_is_not_found(netsky: Netsky, sent: ActorInput) -> None:
    ran = netsky("trace", "m-nobody")

    assert ran.status == Exit.NOT_FOUND
    assert "can be traced" in ran.err


def test_a_home_without_a_database_has_nothing_to_trace(netsky: Netsky) -> None:
    assert netsky("trace", "m-1").status == Exit.NOT_FOUND
