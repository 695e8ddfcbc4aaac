from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.control import serving
from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.control.server import ControlServer
from netsky_runtime.control.vocabulary import Push
from netsky_runtime.errors import (
    Conflict,
    DaemonRunning,
    NetskyError,
    NotFound,
    Unhealthy,
    UsageError,
)
from netsky_runtime.wire.errors import WireError
from tests.control.kit import OWNERS_ONLY, Door, Raw, door, facts_until, until
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        yield made


class Stuck:
    """A verb that never ends by itself."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.some = asyncio.Condition()

    async def __call__(self, _params: object) -> dict[str, Any]:
        await self._count("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await self._count("cancelled")
        raise AssertionError

    async def _count(self, name: str) -> None:
        async with self.some:
            setattr(self, name, getattr(self, name) + 1)
            self.some.notify_all()

    async def until(self, **wanted: int) -> None:
        async with asyncio.timeout(PATIENCE), self.some:
            await self.some.wait_for(
                lambda: all(getattr(self, name) == count for name, count in wanted.items())
            )


async def ended(raw: Raw) -> list[dict[str, Any]]:
    """Return everything that still comes until the daemon ends the connection."""
    messages = []
    while True:
        try:
            messages.append(await raw.read())
        except (AssertionError, WireError):
            return messages


async def test_the_socket_belongs_to_this_user_alone(opened: Door) -> None:
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600


async def test_the_socket_of_a_dead_daemon_is_replaced(opened: Door) -> None:
    await opened.server.close()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(opened.path))
    server = _another(opened)
    await server.start()
    assert await (await opened.connect()).call("echo", {"n": 1}) == {"n": 1}
    await server.close()
    assert not opened.path.exists()


async def test_a_live_daemon_is_refused_and_left_alone(opened: Door) -> None:
    with pytest.raises(DaemonRunning, match=r"already listens on .*netsky.sock"):
        await _another(opened).start()
    assert await (await opened.connect()).call("echo") == {}


async def test_a_daemon_whose_queue_is_full_is_alive(opened: Door) -> None:
    await opened.server.close()
    with socket.socket(socket.AF_UNIX) as hung, socket.socket(socket.AF_UNIX) as waiting:
        hung.bind(str(opened.path))
        hung.listen(0)
        waiting.connect(str(opened.path))
        with pytest.raises(DaemonRunning):
            await _another(opened).start()


async def test_what_is_in_the_way_is_never_removed(opened: Door) -> None:
    await opened.server.close()
    opened.path.write_text("mine")
    with pytest.raises(Unhealthy, match="is in the way"):
        await _another(opened).start()
    assert opened.path.read_text() == "mine"


async def test_a_path_that_cannot_be_used_is_told_in_one_sentence(opened: Door) -> None:
    for path in (opened.path.parent / "none" / "s", opened.path.parent / ("x" * 120)):
        server = ControlServer(
            path,
            gate=OWNERS_ONLY,
            dispatch=opened.dispatch,
            feed=opened.scene.feed,
            identity=dict,
        )
        with pytest.raises(Unhealthy, match="netsky cannot listen on"):
            await server.start()


async def test_closing_leaves_the_socket_of_a_successor(opened: Door) -> None:
    opened.path.unlink()
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(opened.path))
        await opened.server.close()
        assert opened.path.exists()


async def test_two_clients_are_served_side_by_side(opened: Door) -> None:
    stuck = opened.verbs["stuck"] = Stuck()
    one, two = await opened.connect(), await opened.connect()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(one.call("stuck"))
        await stuck.until(begun=1)
        assert await two.call("echo", {"who": 2}) == {"who": 2}
        assert await one.call("echo", {"who": 1}) == {"who": 1}
        waiting.cancel()


async def test_hello_tells_who_the_daemon_is(opened: Door) -> None:
    raw = await opened.raw(hello=False)
    raw.write({"id": "h", "method": "hello", "params": {"protocol": 1, "client": "t"}})
    assert await raw.read() == {
        "jsonrpc": "2.0",
        "id": "h",
        "result": {"protocol": 1, "hosting": False, "version": "9.9", "pid": 1, "epoch": 7},
    }


@pytest.mark.parametrize("theirs", [2, 0, None, "1"])
async def test_a_client_of_another_protocol_is_told_both_versions_and_let_go(
    opened: Door, theirs: object
) -> None:
    raw = await opened.raw(hello=False)
    raw.write({"id": 1, "method": "hello", "params": {"protocol": theirs}})
    [answer] = await ended(raw)
    error = answer["error"]
    assert f"speaks control protocol 1, this client speaks {theirs}." in error["message"]
    assert error["data"]["code"] == "conflict"
    assert "`kill -HUP 1` ends that daemon" in error["data"]["hint"]


async def test_a_client_that_does_not_say_hello_first_is_let_go(opened: Door) -> None:
    raw = await opened.raw(hello=False)
    raw.write({"id": 1, "method": "stop"}, {"id": 2, "method": "echo"})
    [answer] = await ended(raw)
    assert answer["error"]["message"] == "The first request must be hello, not stop."
    assert answer["error"]["data"]["code"] == "usage"


async def test_errors_cross_the_socket_whole(opened: Door) -> None:
    async def refuse(_params: object) -> dict[str, Any]:
        raise Conflict("It runs already.", hint="Wait.")

    async def misused(_params: object) -> dict[str, Any]:
        raise UsageError("Empty.")

    opened.verbs.update(refuse=refuse, misused=misused)
    handle = await opened.connect()
    with pytest.raises(Conflict, match="It runs already") as caught:
        await handle.call("refuse")
    assert (caught.value.message, caught.value.hint) == ("It runs already.", "Wait.")
    with pytest.raises(UsageError, match="Empty"):
        await handle.call("misused")
    with pytest.raises(NotFound, match="no request 'nonsense'"):
        await handle.call("nonsense")


async def test_a_bug_in_a_verb_is_told_and_reported_and_ends_nothing(opened: Door) -> None:
    async def broken(_params: object) -> dict[str, Any]:
        raise ZeroDivisionError("oh")

    async def no_json(_params: object) -> dict[str, Any]:
        return {"what": object()}

    opened.verbs.update(broken=broken, no_json=no_json)
    raw = await opened.raw()
    raw.write({"id": 1, "method": "broken"})
    answer = await raw.read()
    assert "broken failed inside netsky: ZeroDivisionError('oh')" in answer["error"]["message"]
    raw.write({"id": 2, "method": "no_json"})
    assert "cannot be written as JSON" in (await raw.read())["error"]["message"]
    raw.write({"id": 3, "method": "echo"})
    assert (await raw.read())["result"] == {}
    assert [type(error) for error in opened.failures] == [ZeroDivisionError]


async def test_a_client_that_disappears_takes_his_requests_with_him(opened: Door) -> None:
    stuck = opened.verbs["stuck"] = Stuck()
    raw = await opened.raw()
    raw.write({"id": 1, "method": "stuck"}, {"id": 2, "method": "stuck"})
    await stuck.until(begun=2)
    raw.writer.transport.abort()
    await stuck.until(cancelled=2)
    assert await (await opened.connect()).call("echo") == {}
    assert opened.failures == []


async def test_a_client_has_a_bounded_number_of_requests_under_way(opened: Door) -> None:
    stuck = opened.verbs["stuck"] = Stuck()
    raw = await opened.raw()
    raw.write(*({"id": n, "method": "stuck"} for n in range(40)))
    for n in range(serving.MAX_IN_FLIGHT, 40):
        answer = await raw.read()
        assert answer["id"] == n
        assert answer["error"]["data"]["code"] == "conflict"
    await stuck.until(begun=serving.MAX_IN_FLIGHT)


async def test_a_client_that_floods_is_let_go(opened: Door) -> None:
    stuck = opened.verbs["stuck"] = Stuck()
    raw = await opened.raw()
    raw.write(*({"id": n, "method": "stuck"} for n in range(10_000)))
    messages = await ended(raw)
    assert len(messages) <= 2 * serving.MAX_IN_FLIGHT
    assert messages[-1]["params"]["data"]["reason"] == "Too many requests at once."
    await stuck.until(cancelled=serving.MAX_IN_FLIGHT)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1", b"\xff\xfe", b"[]", b'{"half": '])
async def test_a_client_that_sends_garbage_is_told_and_let_go(opened: Door, garbage: bytes) -> None:
    raw = await opened.raw(hello=garbage == b"[]")
    raw.write(garbage)
    [message] = await ended(raw)
    assert message["params"] == {
        "kind": "closing",
        "data": {"reason": "What came is no JSON-RPC message."},
    }
    assert await (await opened.connect()).call("echo") == {}


async def test_a_client_that_sends_a_hundred_megabytes_in_a_line_is_let_go(opened: Door) -> None:
    raw = await opened.raw()
    with pytest.raises(OSError, match=r"(?i)reset|broken pipe|lost"):
        await _write_for_ever(raw)
    assert await (await opened.connect()).call("echo") == {}


async def test_an_answer_of_twenty_megabytes_passes(opened: Door) -> None:
    body = {"text": "x" * 20_000_000}
    assert await (await opened.connect()).call("echo", body) == body


async def test_a_client_that_never_reads_does_not_hold_up_the_others(opened: Door) -> None:
    body = {"text": "x" * 3_000_000}
    raw = await opened.raw()
    raw.writer.transport.pause_reading()
    raw.write(*({"id": n, "method": "echo", "params": body} for n in range(3)))
    handle = await opened.connect()
    for n in range(50):
        assert await handle.call("echo", {"n": n}) == {"n": n}


async def test_a_failing_database_ends_the_connection_of_who_listens(
    opened: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = await opened.raw()

    async def fail(_after: int) -> Any:
        raise Unhealthy("The disk is gone.")

    monkeypatch.setattr(opened.scene.feed, "page", fail)
    raw.write({"id": 1, "method": "subscribe", "params": {"facts": True, "from_seq": 0}})
    await ended(raw)
    assert [str(error) for error in opened.failures] == ["The disk is gone."]


async def test_the_last_answer_and_the_last_push_pass_before_the_door_closes(
    opened: Door,
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def stop(_params: object) -> dict[str, Any]:
        begun.set()
        await release.wait()
        return {"stopped": True}

    opened.verbs["stop"] = stop
    handle, room = await opened.connect(), await opened.connect()
    pushes = room.pushes()
    await room.call("watch", {"actor_id": None})
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(handle.call("stop"))
        hearing = group.create_task(anext(pushes))
        await begun.wait()
        opened.scene.feed.closing("the daemon stops")
        closing = group.create_task(opened.server.close())
        await asyncio.sleep(0)
        release.set()
        assert await stopping == {"stopped": True}
        assert await hearing == Push("closing", {"reason": "the daemon stops", "stopped": False})
        await closing
    await pushes.aclose()
    assert not opened.path.exists()


async def test_closing_does_not_wait_for_a_request_that_hangs(opened: Door) -> None:
    stuck = opened.verbs["stuck"] = Stuck()
    handle = await opened.connect()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_outcome(handle.call("stuck")))
        await stuck.until(begun=1)
        await opened.server.close()
        await stuck.until(cancelled=1)
        error = await waiting
        assert isinstance(error, Unhealthy)
        assert "may have done it" in error.message
    await opened.server.close()


async def test_only_clients_that_take_pushes_count_as_rooms(opened: Door) -> None:
    await opened.connect()
    room = await opened.connect()
    assert opened.server.clients == 0
    await room.call("subscribe", {"facts": False})
    assert opened.server.clients == 1
    await room.close()
    await until(lambda: opened.server.clients == 0)


async def test_a_client_that_leaves_is_no_longer_watching(opened: Door) -> None:
    room = await opened.connect()
    await room.call("watch", {"actor_id": "worker1"})
    assert opened.scene.watched == [{"worker1"}]
    await room.close()
    await until(lambda: len(opened.scene.watched) == 2)
    assert opened.scene.watched == [{"worker1"}, set()]


async def test_a_slow_room_gets_every_fact_in_order_and_only_the_latest_live_text(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with door(tmp_path, clock) as opened:
        raw = await opened.raw()
        raw.write(
            {"id": 1, "method": "watch", "params": {"actor_id": "worker1"}},
            {"id": 2, "method": "subscribe", "params": {"facts": True, "from_seq": 0}},
        )
        seen = [await raw.read() for _ in range(3)]
        assert {message.get("id") for message in seen} == {None, 1, 2}
        raw.writer.transport.pause_reading()
        for n in range(20):
            await opened.scene.store(200, size=2000)
            opened.scene.say(f"{n} ")
        await clock.advance(1)
        opened.scene.feed.closing("enough")
        raw.writer.transport.resume_reading()
        got: list[int] = []
        live: list[dict[str, Any]] = []
        while (push := (await raw.read())["params"])["kind"] != "closing":
            if push["kind"] == "facts":
                got += [event["data"]["n"] for event in push["data"]["events"]]
            elif push["kind"] == "live":
                live.append(push["data"])
        assert got == list(range(4000))
        assert live[-1]["items"][0]["text"] == "".join(f"{n} " for n in range(20))
        # How many states fall into the time that is never counted depends on the socket's buffers.
        assert 0 < sum(state["lost"] for state in live) <= 20 - len(live)


async def test_a_hundred_rooms_get_every_fact(opened: Door) -> None:
    rooms = [await opened.connect() for _ in range(100)]
    for room in rooms:
        await room.call("subscribe", {"facts": True, "from_seq": 0})
    async with asyncio.TaskGroup() as group:
        hearing = [group.create_task(facts_until(room.pushes(), 300)) for room in rooms]
        for _ in range(10):
            await opened.scene.store(30)
    assert all(task.result() == list(range(300)) for task in hearing)


def test_the_door_needs_no_terminal_libraries() -> None:
    import subprocess
    import sys

    script = (
        "import sys, netsky_runtime.control.client;"
        "print([m for m in ('textual', 'typer', 'websockets', 'pydantic', 'aiosqlite')"
        " if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert run.stdout.strip() == "[]"


def _another(opened: Door) -> ControlServer:
    return ControlServer(
        opened.path,
        gate=OWNERS_ONLY,
        dispatch=opened.dispatch,
        feed=opened.scene.feed,
        identity=dict,
    )


async def _write_for_ever(raw: Raw) -> None:
    for _ in range(100):
        raw.writer.write(b"x" * 1_000_000)
        await raw.writer.drain()


async def _outcome(work: Any) -> Any:
    try:
        return await work
    except NetskyError as error:
        return error


async def test_a_daemon_that_says_nothing_meets_the_deadline(opened: Door) -> None:
    await opened.server.close()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(opened.path))
        silent.listen(1)
        with pytest.raises(WireError, match=r"hello was not answered within 0.05 seconds"):
            await RemoteHandle.connect(opened.path, client="t", deadline=0.05)
