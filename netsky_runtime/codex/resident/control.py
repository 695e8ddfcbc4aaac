"""One connection to the tmux server in control mode: many commands, one round trip.

tmux answers each command with a block between ``%begin`` and ``%end`` (or ``%error``) and tells
other things between blocks, which do not matter here. A forked client costs about 2 ms for each
command; a command on this connection about 0.1 ms (tmux 3.3a).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.process import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ANSWER_SECONDS: Final = 5.0
"""tmux answers within milliseconds; longer only when it hangs."""
END_SECONDS: Final = 1.0
"""How long the client may take to go with its session, and again after each harder word."""
WATCH_SESSION: Final = "netsky-watch"
"""The session the connection is attached to. It shows nothing and goes when the connection is
closed; one that a killed netsky left is taken over by the next. Option ``destroy-unattached`` would
end it always, and sometimes the server with it: tmux 3.3a crashes when another client leaves just
after the watching one."""
_CHUNK: Final = 1 << 18
_BEGIN = re.compile(r"^%begin (\d+ \d+ 1)\n", re.MULTILINE)
"""Of a command that came over the connection; one it was started with has a 0 at the end."""
_WHERE: Final = "display-message -p '#{client_session}'"


class ControlLost(ThreadUnavailable):
    """tmux does not answer: its server is gone or hangs, or no client of it can be started.

    What was asked may have been done, and the panes may live on.
    """


@dataclass(frozen=True, slots=True)
class Block:
    """What tmux answered to one command."""

    ok: bool
    at: int
    """The second in which it was answered, by the server's clock."""
    text: str


class Control:
    """The connection. It is made when first needed, and anew after any answer that did not come.

    No wait is longer than its deadline and the end of an earlier client. A command must be one
    line in tmux's own syntax: ``quote`` what is not a constant.
    """

    def __init__(self, *, tmux: str, socket: Path, environ: Mapping[str, str]) -> None:
        self._tmux = tmux
        self._socket = socket
        self._environ = dict(environ)
        self._client: Child | None = None
        self._clean = False
        self._turn = asyncio.Lock()
        self._asked = 0

    async def ask(self, commands: Sequence[str], *, seconds: float = ANSWER_SECONDS) -> list[Block]:
        """Run commands in order; return the blocks they printed, ``if-shell`` one before its own.

        Never starts a server. Raises ``ControlLost`` when there is none, when no client of it can
        be started, or when the answer, the turns of others before it included, takes longer.
        """
        try:
            async with asyncio.timeout(seconds), self._turn:
                client = await self._connected()
                # Whoever fails or is cancelled here leaves half an answer behind: nobody could
                # tell whose it is, so the next one starts with a connection of its own.
                self._clean = False
                answer = await self._exchange(client, commands)
                self._clean = True
                return answer
        except (OSError, WireError) as error:
            how = f"within {seconds:g} s" if isinstance(error, TimeoutError) else "any more"
            msg = f"The tmux server of the resident Codexes does not answer {how}."
            raise ControlLost(msg) from error

    async def load(self, text: str, *, buffer: str) -> None:
        """Put a text into a buffer of the server. Raises ``ControlLost``: then it may be there.

        Through a client of its own, and its standard input: no command line can carry the length
        of a text, nor its lines.
        """
        argv = [self._tmux, "-S", str(self._socket), "-N", "load-buffer", "-b", buffer, "-"]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await Child.spawn(argv, env=self._environ)
                try:
                    client.stdin.write(text.encode())
                    await client.stdin.drain()
                    client.stdin.close()
                    code = await client.exited()
                finally:
                    await client.end(grace=0)
        except (OSError, WireError) as error:
            msg = "The tmux server of the resident Codexes does not take a text."
            raise ControlLost(msg) from error
        if code:
            msg = "The tmux server of the resident Codexes takes no text: it is gone."
            raise ControlLost(msg)

    async def close(self) -> None:
        """End the connection and its session, in bounded time; the server lives on."""
        async with self._turn:
            client = self._client
            if client is not None and client.returncode is None:
                client.stdin.write(f"kill-session -t ={WATCH_SESSION}\n".encode())
                with suppress(TimeoutError):
                    async with asyncio.timeout(END_SECONDS):
                        await client.exited()  # it goes with its session
            await self._drop()

    async def _connected(self) -> Child:
        client = self._client
        if client is not None and client.returncode is None and self._clean:
            return client
        await self._drop()
        self._client = client = await Child.spawn(
            [
                *(self._tmux, "-S", str(self._socket), "-N", "-f", "/dev/null", "-C"),
                *("new-session", "-A", "-s", WATCH_SESSION, "-f", "no-output,ignore-size"),
                "exec cat",
            ],
            env=self._environ,
        )
        attached = ""
        while attached != WATCH_SESSION:  # it may hear its first words before it is
            [said] = await self._exchange(client, [_WHERE])
            attached = said.text
        return client

    async def _exchange(self, client: Child, commands: Sequence[str]) -> list[Block]:
        self._asked += 1
        last = f"netsky-asked-{self._asked}"
        lines = [*commands, f"display-message -p {last}"]
        client.stdin.write("".join(f"{line}\n" for line in lines).encode())
        await client.stdin.drain()
        answer = bytearray()
        ending = f"\n{last}\n%end ".encode()
        while True:
            start = max(0, len(answer) - len(ending))
            chunk = await client.stdout.read(_CHUNK)
            if not chunk:
                raise ConnectionResetError
            answer += chunk
            at = answer.find(ending, start)
            if at >= 0 and answer.find(b"\n", at + len(ending)) >= 0:
                return blocks(answer.decode(errors="replace"), last)

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # Never waits for its pipes: tmux passes them on to its server, which may hang.
            await client.end(grace=END_SECONDS)


def blocks(answer: str, last: str) -> list[Block]:
    """Return the blocks of an answer, up to the one that only says ``last``."""
    found: list[Block] = []
    position = 0
    while begin := _BEGIN.search(answer, position):
        # The numbers of a block are its own: a screen that shows an older one ends nothing.
        numbers = begin.group(1)
        start = begin.end() - 1  # an empty block has its end right after its beginning
        end, ok = answer.find(f"\n%end {numbers}\n", start), True
        # Only up to there: the rest is all the other screens.
        failed = answer.find(f"\n%error {numbers}\n", start, end if end >= 0 else None)
        if failed >= 0:
            end, ok = failed, False
        if end < 0:
            break
        text = answer[start + 1 : end]
        if text == last:
            return found
        found.append(Block(ok, int(numbers.split(" ", 1)[0]), text))
        position = end + 1
    return found


def quote(text: str) -> str:
    """Return a word for a control-mode line. Raises ``ValueError`` for what no line can carry."""
    if "\n" in text or "\r" in text or "\0" in text:
        msg = f"no line of tmux can carry {text!r}"
        raise ValueError(msg)
    return "'" + text.replace("'", "'\\''") + "'"
