"""Who is who on the bus, and what files there are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netsky_runtime.comms.bus.addresses import (
    LONGEST,
    bus_id_of,
    folder_of,
    is_actors,
    is_address,
    is_bus_id,
)
from netsky_runtime.comms.bus.names import Names, is_envelope, settled_name
from netsky_runtime.errors import UsageError

NAME = re.compile(r"[0-9]{20}-[0-9]{10}-[0-9a-f]{8}-[0-9]{10}-from-agent[a-z0-9]+\.json")


@pytest.mark.parametrize("text", ["agent0", "agent42", "agentinfinity", "agentcron"])
def test_ids_of_the_bus_are_accepted(text: str) -> None:
    assert is_bus_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "agent", "AGENT0", "agent-7", "BOB", "bob", "agent0\n", "agent/0", "../agent0"),
        *("agentü", "agent٣", "agent" + "7" * LONGEST),
    ],
)
def test_anything_else_is_no_id_of_the_bus(text: str) -> None:
    assert not is_bus_id(text)


@pytest.mark.parametrize(
    ("address", "folder", "signs"),
    [
        ("agent0", "manager0", "agent0"),
        ("manager0", "manager0", "agent0"),
        ("agent3", "worker3", "agent3"),
        ("worker12", "worker12", "agent12"),
        ("agentmanager2", "manager2", "agentmanager2"),
        ("manager2", "manager2", "agentmanager2"),
        ("docs", "docs", "agentmanagerdocs"),
        ("agentmanagerdocs", "docs", "agentmanagerdocs"),
        ("docs-lane", "docs-lane", "agentmanagerdocs0dlane"),
        ("v10", "v10", "agentmanagerv100"),
        ("manager02", "manager02", "agentmanagermanager002"),
        ("agentci", "agentci", "agentci"),
        ("agent07", "agent07", "agent07"),
        ("agentmanagerworker3", "agentmanagerworker3", "agentmanagerworker3"),
        ("agentmanageragentci", "agentmanageragentci", "agentmanageragentci"),
        ("agentmanagerowner", "agentmanagerowner", "agentmanagerowner"),
        ("agentmanagermanager00", "agentmanagermanager00", "agentmanagermanager00"),
        ("agentmanagerx0y", "agentmanagerx0y", "agentmanagerx0y"),
    ],
)
def test_an_address_leads_to_a_folder_and_signs_with_an_id(
    address: str, folder: str, signs: str
) -> None:
    assert folder_of(address) == folder
    assert bus_id_of(address) == signs
    assert is_actors(folder) is not folder.startswith("agent")


@pytest.mark.parametrize("address", ["", ".", "..", "a/b", "agent-7", "agent", "owner", "Worker1"])
def test_what_is_no_address_leads_nowhere(address: str) -> None:
    assert not is_address(address)
    with pytest.raises(UsageError, match="no address"):
        folder_of(address)


ACTORS = st.one_of(
    st.from_regex(r"(worker|manager)[1-9][0-9]{0,9}", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True).filter(
        lambda name: not name.startswith("agent") and name != "owner"
    ),
)
"""All that an actor can be called: more than managers may be."""


@given(ACTORS)
@example("-".join("abcdefghijklmnop"))
@example("a" + "-" * 30)
def test_what_an_actor_signs_with_leads_to_its_own_folder(actor_id: str) -> None:
    assert is_bus_id(bus_id_of(actor_id))
    assert folder_of(bus_id_of(actor_id)) == actor_id


@given(st.from_regex(r"agent(manager)?[a-z0-9]{1,40}", fullmatch=True))
def test_no_two_bus_ids_lead_to_one_folder(bus_id: str) -> None:
    assert bus_id_of(folder_of(bus_id)) == bus_id


@given(st.text())
def test_no_address_names_a_place_outside_of_the_channel_root(address: str) -> None:
    if is_address(address):
        folder = folder_of(address)
        assert folder not in {".", ".."}
        assert "/" not in folder
        assert not folder.startswith(".")
        assert is_bus_id(bus_id_of(address))


@given(st.lists(st.integers(min_value=0, max_value=2**63), min_size=1, max_size=20))
def test_names_of_one_process_differ_and_sort_as_they_were_made(times: list[int]) -> None:
    ticks = iter(times)
    names = Names(now_ns=lambda: next(ticks), noise=lambda: "00000000")
    made = [names.new("agent0") for _ in times]
    assert made == sorted(set(made))
    assert all(NAME.fullmatch(name) for name in made)
    assert all(is_envelope(name) for name in made)


def test_fresh_processes_in_the_same_nanosecond_choose_different_names() -> None:
    both = [Names(now_ns=lambda: 7).new("agent0") for _ in range(2)]
    assert both[0] != both[1]


def test_an_envelope_that_is_written_once_has_one_name() -> None:
    one = settled_name(at_ms=1_763_600_000_123, sender="agent3", about="x")
    assert one == settled_name(at_ms=1_763_600_000_123, sender="agent3", about="x")
    assert one != settled_name(at_ms=1_763_600_000_123, sender="agent3", about="y")
    assert NAME.fullmatch(one)
    assert one.startswith("01763600000123000000-")


@pytest.mark.parametrize("name", [".x.json", "x.json.tmp", "x.txt", ".x.json.0.tmp", "json"])
def test_other_files_are_not_looked_at(name: str) -> None:
    assert not is_envelope(name)
