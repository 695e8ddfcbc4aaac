"""What handshakes have shown is remembered for a binary as long as it is the same."""

from dataclasses import replace

from netsky_runtime.db import doors
from netsky_runtime.records import DoorResult
from netsky_runtime.states import RuntimeName

OPEN = DoorResult(
    door=RuntimeName.APP_SERVER,
    open=True,
    version="0.163.0",
    milliseconds=134,
    reason="",
    tried_at=1,
)
SHUT = replace(OPEN, door=RuntimeName.MCP_SERVER, open=False, version="", reason="It ended.")


async def test_results_of_a_binary_come_back_as_they_were(database):
    for result in (OPEN, SHUT):
        await database.write(lambda tx, r=result: doors.keep(tx, "/codex", r, size=7, mtime_ns=9))
    found = await database.read(lambda tx: doors.of_binary(tx, "/codex", size=7, mtime_ns=9))
    assert found == {OPEN.door: OPEN, SHUT.door: SHUT}
    assert not await database.read(lambda tx: doors.of_binary(tx, "/other", size=7, mtime_ns=9))


async def test_the_last_result_of_a_door_counts(database):
    later = replace(OPEN, open=False, reason="It was ill.", tried_at=2)
    for result in (OPEN, later):
        await database.write(lambda tx, r=result: doors.keep(tx, "/codex", r, size=7, mtime_ns=9))
    found = await database.read(lambda tx: doors.of_binary(tx, "/codex", size=7, mtime_ns=9))
    assert found == {OPEN.door: later}


async def test_a_binary_that_was_installed_anew_is_unknown_and_its_past_forgotten(database):
    for result in (OPEN, SHUT):
        await database.write(lambda tx, r=result: doors.keep(tx, "/codex", r, size=7, mtime_ns=9))
    for size, mtime in ((8, 9), (7, 10)):
        assert not await database.read(
            lambda tx, s=size, m=mtime: doors.of_binary(tx, "/codex", size=s, mtime_ns=m)
        )
    await database.write(lambda tx: doors.keep(tx, "/codex", OPEN, size=8, mtime_ns=10))
    assert not await database.read(lambda tx: doors.of_binary(tx, "/codex", size=7, mtime_ns=9))
