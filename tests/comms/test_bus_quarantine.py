"""What lies in poison is a row, whoever has put it there, for as long as it lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.comms.bus.folders import INBOX, POISON, Channel
from netsky_runtime.comms.bus.guarded import reason_name
from netsky_runtime.comms.bus_quarantine import NO_REASON
from netsky_runtime.db import attention, bus_poison
from netsky_runtime.states import AttentionKind
from tests.comms.test_bus_office import Bus
from tests.comms.test_bus_office import bus as bus

if TYPE_CHECKING:
    from collections.abc import Mapping


async def known(bus: Bus) -> Mapping[tuple[str, str], str]:
    return await bus.people.database.read(bus_poison.known)


async def test_a_bad_envelope_waits_for_the_owner_with_its_reason(bus: Bus) -> None:
    bus.put("worker1", text="")
    await bus.office.collect()
    await bus.office.quarantine()
    (name,) = Channel(bus.root, "worker1").pending(POISON)
    assert (await known(bus)).keys() == {("worker1", name)}
    (item,) = await bus.people.database.read(lambda tx: attention.list_(tx, now=0))
    assert (item.kind, item.actor) == (AttentionKind.QUARANTINED, "worker1")
    assert "text" in item.about.text
    assert item.about.detail == f"channels/worker1/poison/{name}"


async def test_what_lay_there_before_or_other_programs_put_there_is_found(bus: Bus) -> None:
    other = Channel(bus.root, "agentci")
    other.prepare()
    (bus.root / "agentci" / INBOX / "x.json").write_text("{")
    other.quarantine("x.json", "not JSON")
    await bus.restarted().quarantine()
    assert await known(bus) == {("agentci", "x.json"): "not JSON"}


async def test_a_reason_that_comes_after_its_file_is_taken_up(bus: Bus) -> None:
    Channel(bus.root, "worker1").prepare()
    folder = bus.root / "worker1" / POISON
    (folder / "x.json").write_text("{")
    await bus.office.quarantine()
    assert await known(bus) == {("worker1", "x.json"): NO_REASON}
    (folder / reason_name("x.json")).write_text("not JSON\n")
    await bus.office.quarantine()
    assert await known(bus) == {("worker1", "x.json"): "not JSON"}


async def test_what_somebody_takes_away_waits_no_more(bus: Bus) -> None:
    Channel(bus.root, "worker1").prepare()
    file = bus.root / "worker1" / POISON / "x.json"
    file.write_text("{")
    await bus.office.quarantine()
    file.unlink()
    await bus.office.quarantine()
    assert await known(bus) == {}


async def test_a_look_that_finds_nothing_new_writes_nothing(bus: Bus) -> None:
    bus.put("worker1", text="")
    await bus.office.collect()
    await bus.office.quarantine()
    before = bus.people.database.revision
    await bus.office.quarantine()
    assert bus.people.database.revision == before


@pytest.mark.parametrize("name", ["half\udcff.json", "line\nbreak.json"])
async def test_a_name_that_is_no_text_can_be_stored_and_is_found_again(bus: Bus, name: str) -> None:
    Channel(bus.root, "worker1").prepare()
    (bus.root / "worker1" / POISON / name).write_text("{")
    await bus.office.quarantine()
    ((_, shown),) = await known(bus)
    assert shown.isprintable()
    before = bus.people.database.revision
    await bus.office.quarantine()
    assert bus.people.database.revision == before
