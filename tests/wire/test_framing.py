from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime.errors import UsageError
from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.framing import LineFraming
from tests.wire.pipes import wire


async def receive_all(framing: LineFraming) -> list[bytes]:
    lines = []
    while (line := await framing.receive()) is not None:
        lines.append(line)
    return lines


async def test_lines_come_out_one_by_one_and_the_end_is_none() -> None:
    async with wire() as other:
        other.writer.write(b"one\ntwo\nthree\n")
        other.writer.write_eof()
        assert await receive_all(other.framing) == [b"one", b"two", b"three"]
        assert await other.framing.receive() is None


async def test_a_half_line_at_the_end_of_the_stream_is_delivered() -> None:
    async with wire() as other:
        other.writer.write(b"one\ntw")
        other.writer.write_eof()
        assert await receive_all(other.framing) == [b"one", b"tw"]


async def test_blank_lines_are_no_messages() -> None:
    async with wire() as other:
        other.writer.write(b"\n\r\n  \none\r\n\n")
        other.writer.write_eof()
        assert await receive_all(other.framing) == [b"one\r"]


async def test_a_line_of_twenty_megabytes_passes_in_both_directions() -> None:
    big = b"x" * (20 * 1024 * 1024)
    async with wire() as other, asyncio.TaskGroup() as group:
        group.create_task(other.framing.send(big))
        assert await other.line() == big
        other.writer.write(b"before\n" + big + b"\nafter\n")
        assert await other.framing.receive() == b"before"
        assert await other.framing.receive() == big
        assert await other.framing.receive() == b"after"


async def test_a_line_of_exactly_the_limit_passes() -> None:
    async with wire(max_line=1000) as other:
        other.write(b"x" * 1000, b"y" * 1000)
        assert await other.framing.receive() == b"x" * 1000
        assert await other.framing.receive() == b"y" * 1000


@pytest.mark.parametrize("newline", [b"", b"\n"])
async def test_a_line_over_the_limit_closes_the_connection(newline: bytes) -> None:
    async with wire(max_line=1000) as other:
        other.writer.write(b"fine\n" + b"x" * 1001 + newline)
        assert await other.framing.receive() == b"fine"
        with pytest.raises(WireError, match="longer than the limit of 1000 bytes"):
            await other.framing.receive()
        with suppress(WireError):
            assert await other.far.receive() is None
        with pytest.raises(WireError):
            await other.framing.send(b"more")


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with wire() as other, asyncio.TaskGroup() as group:
        other.writer.write(b"first ha")
        waiting = group.create_task(other.framing.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        other.writer.write(b"lf\n")
        assert await other.framing.receive() == b"first half"


async def test_sends_that_gave_up_on_a_stalled_reader_leave_whole_lines() -> None:
    big = b"x" * 1_000_000
    async with wire() as other:
        given_up = 0
        for _ in range(20):
            try:
                async with asyncio.timeout(0.01):
                    await other.framing.send(big)
            except TimeoutError:
                given_up += 1
        assert given_up >= 19
        async with asyncio.TaskGroup() as group:
            last = group.create_task(other.framing.send(b"last"))
            lines = [await other.line()]
            while lines[-1] != b"last":
                lines.append(await other.line())
            await last
        assert set(lines[:-1]) == {big}
        assert len(lines) <= 3, "what was given up must not pile up in the buffer"


async def test_closing_while_the_other_side_does_not_read_is_bounded() -> None:
    async with wire() as other, asyncio.TaskGroup() as group:
        stalled = group.create_task(_refused(other.framing.send(b"x" * 5_000_000)))
        await asyncio.sleep(0)
        await other.framing.close()
        await stalled
        assert await other.framing.receive() is None
        await other.framing.close()


async def test_a_message_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with wire(max_line=1000) as other:
        with pytest.raises(UsageError, match="1001 bytes is over the limit of 1000"):
            await other.framing.send(b"x" * 1001)
        await other.framing.send(b"y" * 1000)
        assert await other.line() == b"y" * 1000


async def test_a_newline_inside_a_message_is_refused() -> None:
    async with wire() as other:
        with pytest.raises(ValueError, match="newline"):
            await other.framing.send(b"a\nb")


@given(
    lines=st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\n", b"."))),
    cuts=st.lists(st.integers(min_value=1, max_value=30), max_size=20),
)
def test_however_the_stream_is_cut_the_lines_are_the_same(
    lines: list[bytes], cuts: list[int]
) -> None:
    async def run() -> list[bytes]:
        reader = _CutReader(b"".join(line + b"\n" for line in lines), cuts)
        return await receive_all(LineFraming(reader, None))  # type: ignore[arg-type]  # reads only

    assert asyncio.run(run()) == [line for line in lines if not line.isspace()]


class _CutReader:
    def __init__(self, data: bytes, cuts: list[int]) -> None:
        self._data = data
        self._cuts = cuts

    async def read(self, _limit: int) -> bytes:
        size = self._cuts.pop() if self._cuts else len(self._data)
        chunk, self._data = self._data[:size], self._data[size:]
        return chunk


async def _refused(sending: object) -> None:
    with pytest.raises(WireError):
        await sending  # type: ignore[misc]
