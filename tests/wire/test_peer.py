from __future__ import annotations

import asyncio
from typing import Any

import pytest

from netsky_runtime.errors import DeadlineExceeded, UsageError
from netsky_runtime.wire import peer as peer_module
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError, WireError
from netsky_runtime.wire.peer import Peer
from tests.wire.pipes import Heard, Talk, talk, wire


async def outcome(work: Any) -> Any:
    try:
        return await work
    except WireError as error:
        return error


async def answer_all(pair: Talk, count: int) -> None:
    for _ in range(count):
        request = await pair.other.read()
        pair.other.write({"id": request["id"], "result": request["params"]})


async def test_a_request_is_answered_with_its_own_result_whatever_the_order() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        first = group.create_task(pair.peer.request("first", {"n": 1}, deadline=5))
        second = group.create_task(pair.peer.request("second", deadline=5))
        one, two = await pair.other.read(), await pair.other.read()
        assert (one["method"], one["params"]) == ("first", {"n": 1})
        assert (two["method"], two["params"]) == ("second", {})
        pair.other.write({"id": two["id"], "result": [2]}, {"id": one["id"], "result": None})
        assert await second == [2]
        assert await first is None


@pytest.mark.parametrize(("member", "extra"), [(True, {"jsonrpc": "2.0"}), (False, {})])
async def test_the_version_member_is_written_only_when_asked_for(
    member: bool, extra: dict[str, str]
) -> None:
    async with talk(version_member=member) as pair:
        await pair.peer.notify("hello")
        assert await pair.other.read() == {**extra, "method": "hello", "params": {}}
        await pair.peer.reply("x", {"ok": True})
        assert await pair.other.read() == {**extra, "id": "x", "result": {"ok": True}}
        await pair.peer.reply_error(7, -3, "no", {"why": 1})
        error = {"code": -3, "message": "no", "data": {"why": 1}}
        assert await pair.other.read() == {**extra, "id": 7, "error": error}


async def test_everything_is_dispatched_in_the_order_received() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(pair.peer.request("ask", deadline=5))
        asked.add_done_callback(lambda _: pair.heard.note("waiter awake"))
        request = await pair.other.read()
        pair.other.write(
            {"method": "before", "params": {"n": 1}},
            {"id": "s1", "method": "may I", "params": {}},
            {"id": request["id"], "result": {}},
            {"method": "after"},
            {"id": 0, "method": "and I"},
        )
        await asked
        log = await pair.heard.until(5)
        assert log[:4] == [
            ("notification", "before", {"n": 1}),
            ("request", "s1", "may I", {}),
            ("notification", "after", {}),
            ("request", 0, "and I", {}),
        ]


async def test_many_writers_never_interleave() -> None:
    bodies = [{"n": n, "text": f"{n}" * 50_000} for n in range(60)]
    async with talk() as pair, asyncio.TaskGroup() as group:
        group.create_task(answer_all(pair, 40))
        asked = [
            group.create_task(pair.peer.request("echo", body, deadline=10)) for body in bodies[:40]
        ]
        assert [await one for one in asked] == bodies[:40]
    async with talk() as pair, asyncio.TaskGroup() as group:
        for body in bodies:
            group.create_task(pair.peer.notify("note", body))
        received = [(await pair.other.read())["params"] for _ in bodies]
        assert received == bodies


async def test_an_error_answer_carries_code_message_and_data() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(outcome(pair.peer.request("ask", deadline=5)))
        request = await pair.other.read()
        error = {"code": -32600, "message": "thread not found", "data": {"id": "t"}}
        pair.other.write({"id": request["id"], "error": error})
        got = await asked
        assert isinstance(got, RpcError)
        assert (got.rpc_code, got.message, got.data) == (-32600, "thread not found", {"id": "t"})


@pytest.mark.parametrize(
    "answer",
    [{"error": "plain words"}, {"error": {"message": 3}}, {"error": []}, {}, {"error": None}],
)
async def test_an_answer_of_no_known_form_still_wakes_its_waiter(answer: dict[str, Any]) -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(outcome(pair.peer.request("ask", deadline=5)))
        request = await pair.other.read()
        pair.other.write({"id": request["id"], **answer})
        assert isinstance(await asked, WireError)
        assert not pair.peer.closed


GARBAGE = [
    b"warning: config.toml is odd",
    b"\xff\xfe\x00",
    b'{"method": "cut',
    b'{"method": "\xc3\x28"}',
    b"[1, 2]",
    b"42",
    b"null",
    b"{}",
    b'{"method": 5}',
    b'{"method": "x", "params": [1]}',
    b'{"id": true, "method": "x"}',
    b'{"id": null, "method": "x"}',
    b'{"id": true, "result": 1}',
    b'{"id": 1.0, "result": 1}',
    b'{"id": null, "error": {"code": 1, "message": "?"}}',
    b"[" * 100_000,
]


async def test_garbage_is_told_and_hurts_nobody() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(pair.peer.request("ask", deadline=5))
        request = await pair.other.read()
        pair.other.write(*GARBAGE, {"id": request["id"], "result": "fine"})
        assert await asked == "fine"
        assert pair.heard.log == [("garbage", line) for line in GARBAGE]
        assert pair.peer.garbage == len(GARBAGE)


async def test_what_the_other_side_wrote_and_said_is_quoted_when_it_ends() -> None:
    async with talk(diagnosis=lambda: "error: bad config.toml") as pair:
        pair.other.write(b"Usage: codex [OPTIONS]", b"more")
        pair.other.writer.write_eof()
        await pair.running
        (_, reason) = pair.heard.log[-1]
        assert reason == (
            "The other side ended the connection. It wrote: Usage: codex [OPTIONS]"
            " It said: error: bad config.toml"
        )


async def test_every_waiter_wakes_at_the_end_of_the_stream() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = [
            group.create_task(outcome(pair.peer.request("ask", deadline=60))) for _ in range(50)
        ]
        for _ in asked:
            await pair.other.read()
        pair.other.writer.write_eof()
        outcomes = [await one for one in asked]
        assert all(isinstance(error, PeerClosed) and error.sent for error in outcomes)
        await pair.running
        assert pair.peer.closed


async def test_every_waiter_wakes_on_close_and_nothing_can_be_sent_after() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = [
            group.create_task(outcome(pair.peer.request("ask", deadline=60))) for _ in range(50)
        ]
        for _ in asked:
            await pair.other.read()
        await pair.peer.close()
        assert all([isinstance(await one, PeerClosed) for one in asked])
        late = await outcome(pair.peer.request("late", deadline=60))
        assert isinstance(late, PeerClosed)
        assert not late.sent
        assert isinstance(await outcome(pair.peer.notify("late")), PeerClosed)
        assert isinstance(await outcome(pair.peer.reply(1, {})), PeerClosed)
        assert [entry for entry in pair.heard.log if entry[0] == "closed"] == [
            ("closed", "The connection was closed by netsky.")
        ]


async def test_every_waiter_wakes_when_a_line_is_over_the_limit() -> None:
    async with talk(max_line=1000) as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(outcome(pair.peer.request("ask", deadline=60)))
        await pair.other.read()
        pair.other.write(b"x" * 2000)
        error = await asked
        assert isinstance(error, PeerClosed)
        assert "longer than the limit" in error.message


async def test_every_waiter_wakes_when_the_reader_is_cancelled() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(outcome(pair.peer.request("ask", deadline=60)))
        await pair.other.read()
        pair.running.cancel()
        assert isinstance(await asked, PeerClosed)
        assert await pair.other.far.receive() is None


async def test_a_failing_handler_ends_the_reader_and_wakes_every_waiter() -> None:
    def fail(_method: str, _params: dict[str, Any]) -> None:
        raise ZeroDivisionError

    async with wire() as other, asyncio.TaskGroup() as group:
        peer = Peer(other.framing, on_request=_unasked, on_notification=fail)
        asked = group.create_task(outcome(peer.request("ask", deadline=60)))
        await other.read()
        other.write({"method": "boom"})
        with pytest.raises(ZeroDivisionError):
            await peer.run()
        assert isinstance(await asked, PeerClosed)


async def test_a_peer_that_never_answers_meets_the_deadline_and_its_late_answer_is_counted() -> (
    None
):
    async with talk() as pair:
        error = await outcome(pair.peer.request("turn/start", deadline=0.01))
        assert isinstance(error, RequestTimedOut)
        assert isinstance(error, DeadlineExceeded)
        assert error.code == "timeout"
        assert error.sent
        assert error.message == "turn/start was not answered within 0.01 seconds."
        assert not pair.peer._waiting, "what nobody waits for must not be kept"
        request = await pair.other.read()
        pair.other.write({"id": request["id"], "result": 1}, {"method": "next"})
        await pair.heard.until(1)
        assert pair.peer.late_answers == 1
        assert pair.heard.log == [("notification", "next", {})]


async def test_a_cancelled_caller_leaves_the_conversation_whole() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        asked = group.create_task(pair.peer.request("one", deadline=60))
        one = await pair.other.read()
        asked.cancel()
        await asyncio.wait([asked])
        pair.other.write({"id": one["id"], "result": 1})
        again = group.create_task(pair.peer.request("two", deadline=60))
        two = await pair.other.read()
        pair.other.write({"id": two["id"], "result": 2})
        assert await again == 2
        assert pair.peer.late_answers == 1


@pytest.mark.parametrize("rounds", range(8))
async def test_a_caller_cancelled_at_any_await_blocks_nobody(rounds: int) -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        doomed = [
            group.create_task(pair.peer.request("doomed", {"x": "y" * 300_000}, deadline=60))
            for _ in range(5)
        ]
        for _ in range(rounds):
            await asyncio.sleep(0)
        for one in doomed:
            one.cancel()
        asked = group.create_task(pair.peer.request("ask", deadline=60))
        while (request := await pair.other.read())["method"] != "ask":
            assert request["params"] == {"x": "y" * 300_000}
        pair.other.write({"id": request["id"], "result": "fine"})
        assert await asked == "fine"


async def test_a_stalled_other_side_meets_the_deadline_of_request_notification_and_reply() -> None:
    big = {"text": "x" * 5_000_000}
    async with talk() as pair:
        first = await outcome(pair.peer.request("first", big, deadline=0.05))
        assert isinstance(first, RequestTimedOut)
        for stuck in (
            pair.peer.request("second", big, deadline=0.05),
            pair.peer.notify("third", big, deadline=0.05),
            pair.peer.reply(4, big, deadline=0.05),
            pair.peer.reply_error(5, 1, "no", deadline=0.05),
        ):
            assert isinstance(await outcome(stuck), RequestTimedOut)


async def test_a_request_stuck_behind_a_stalled_one_knows_that_it_was_not_sent() -> None:
    async with talk() as pair, asyncio.TaskGroup() as group:
        stalled = group.create_task(
            outcome(pair.peer.request("first", {"text": "x" * 5_000_000}, deadline=60))
        )
        await asyncio.sleep(0)
        behind = await outcome(pair.peer.request("behind", deadline=0.01))
        assert isinstance(behind, RequestTimedOut)
        assert not behind.sent
        await pair.peer.close()
        assert isinstance(await stalled, PeerClosed)


class Broken:
    """A framing whose writes fail, and whose reader has not heard why."""

    async def send(self, data: bytes) -> None:
        raise WireError("The pipe is broken.")

    async def receive(self) -> bytes | None:
        await asyncio.Event().wait()
        return None

    async def close(self) -> None:
        """There is nothing to close."""


async def test_what_a_failed_write_has_sent_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of it, or all, may have been read: who may not send it twice has to look."""
    monkeypatch.setattr(peer_module, "REASON_SECONDS", 0.01)
    peer = Heard().peer(Broken())
    for work in (peer.request("ask", deadline=5), peer.notify("tell"), peer.reply(1, {})):
        error = await outcome(work)
        assert isinstance(error, PeerClosed)
        assert error.sent


async def test_a_stalled_writer_wakes_when_the_conversation_is_closed() -> None:
    big = {"text": "x" * 5_000_000}
    async with talk() as pair, asyncio.TaskGroup() as group:
        stalled = [
            group.create_task(outcome(pair.peer.request("a", big, deadline=60))),
            group.create_task(outcome(pair.peer.notify("b", big))),
            group.create_task(outcome(pair.peer.reply("c", big))),
        ]
        await asyncio.sleep(0)
        await pair.peer.close()
        assert all([isinstance(await one, PeerClosed) for one in stalled])


async def test_text_that_is_no_unicode_is_refused_before_it_is_sent() -> None:
    async with talk() as pair:
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            await pair.peer.request("send", {"body": "\udcff"}, deadline=5)
        await pair.peer.notify("fine")
        assert (await pair.other.read())["method"] == "fine"


def _unasked(*_: object) -> None:
    raise NotImplementedError
