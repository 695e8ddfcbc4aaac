"""One resident, attached: what the mailbox may do with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from netsky_runtime.codex.base import (
    AnswerLost,
    Batch,
    Decision,
    HistoricTurn,
    HistoryUnavailable,
    NoActiveTurn,
    ThreadBlocked,
    ThreadUnavailable,
    ToolResult,
    TurnRunning,
    Unsupported,
)
from netsky_runtime.codex.resident import processes
from netsky_runtime.codex.resident.command import check_typable
from netsky_runtime.codex.resident.screen import Look
from netsky_runtime.codex.resident.typing import ATTACH
from netsky_runtime.codex.rollout import read_history
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.codex.resident.following import Following
    from netsky_runtime.codex.resident.house import House
    from netsky_runtime.codex.resident.resident import Resident

CONFIRM_SECONDS: Final = 20.0
"""How long the rollout may take to show a message after Enter; it took 15 to 50 ms."""
AGAIN_SECONDS: Final = 1.5
"""After this long without a line, the pane is looked at again."""
NAME_SECONDS: Final = 0.1
PRESSES: Final = 3
ESCAPE_SECONDS: Final = 2.0


class ResidentSession:
    """A ``ThreadSession`` over a Codex in a pane."""

    differences: tuple[str, ...] = ()

    def __init__(
        self,
        resident: Resident,
        *,
        following: Following,
        house: House,
        engine_id: str,
        screen: Sequence[str],
        seconds: float,
        clock: Clock,
    ) -> None:
        self._resident = resident
        self._following = following
        self._house = house
        self._screen = tuple(screen)
        self._seconds = seconds
        self._clock = clock
        self.engine_id = engine_id

    @property
    def thread_id(self) -> str:
        """Codex's id of the thread; empty before its first turn has begun."""
        return self._resident.thread_id

    @property
    def active_turn(self) -> str:
        """Id of the turn that runs, as far as the rollout tells."""
        return self._resident.active_turn

    async def submit(self, batch: Batch) -> None:
        """Type the batch into an empty composer; return when the rollout shows it.

        Raises ``InputRejected`` for what cannot be typed, ``TurnRunning``, ``ThreadBlocked`` and
        ``ThreadUnavailable`` before anything is; ``AnswerLost`` when it was and no line came.
        """
        resident = self._resident
        text = batch.text.replace("\r\n", "\n")
        check_typable(text)
        self._check_attached()
        if resident.active_turn or resident.typing:
            raise TurnRunning(_BUSY)
        resident.typing = True
        heard = resident.expect(replace(batch, text=text))
        try:
            await self._check_thread()
            await self._type(text)
            resident.clear()
            await self._confirm(text, heard)
        finally:
            resident.typing = False
            resident.expect_no_more()

    async def steer(self, batch: Batch, *, turn_id: str) -> None:
        """Refuse: a text typed into a running turn may be queued, merged or lost."""
        self._refuse("takes no message while a turn runs")

    async def interrupt(self, turn_id: str) -> None:
        """Press Escape until the rollout says that the turn is over.

        A question of that turn on the screen is declined by it. Raises ``NoActiveTurn``,
        ``ThreadBlocked`` for any other dialog, ``ThreadUnavailable``.
        """
        self._check_attached()
        if not turn_id or self._resident.active_turn != turn_id:
            msg = "No such turn runs."
            raise NoActiveTurn(msg)
        over = self._resident.turn_over(turn_id)
        end = self._clock.monotonic() + self._seconds
        while not over.is_set():
            shot, reading = await self._resident.typist.look()
            if reading.look in {Look.BUSY, Look.APPROVAL}:
                await self._resident.pane.press("Escape", on=shot)
            elif reading.look in {Look.DIALOG, Look.TRUST, Look.UNREADABLE}:
                self._resident.block(reading.reason, shot)
                raise ThreadBlocked(reading.reason, hint=ATTACH)
            if not await _within(over, ESCAPE_SECONDS) and self._clock.monotonic() >= end:
                msg = f"Codex does not stop its turn in {self._seconds:g} s."
                raise ThreadUnavailable(msg, hint=ATTACH)
        self._check_attached()

    async def decide(self, request_id: str, decision: Decision) -> None:
        """Refuse: Codex asks on its own screen."""
        self._refuse("is answered on its own screen")

    async def answer_tool(self, call_id: str, result: ToolResult) -> None:
        """Refuse: tools reach a resident through an MCP server."""
        self._refuse("carries no tool calls")

    def events(self) -> AsyncIterator[CodexEvent]:
        """Yield events in order, from the moment the session was made. One consumer."""
        return aiter(self._resident.channel)

    async def watch(self, on: bool) -> None:
        """Do nothing: a rollout has no fragments."""

    async def history(self) -> Sequence[HistoricTurn]:
        """Return all turns, oldest first.

        Raises ``HistoryUnavailable``, also when the pane is lost: until its Codex is known to have
        ended, it may still write, and what is missing may still come.
        """
        if self._resident.lost:
            msg = f"The thread's history cannot be read now: {self._resident.lost}"
            raise HistoryUnavailable(msg)
        rollout = self._resident.rollout
        if rollout is None:
            return ()
        # The file is ahead of what was heard: only of what was found without an end is it certain
        # that no more comes.
        turns = await asyncio.to_thread(read_history, rollout, running=True)
        if turns and turns[-1].id == self._resident.cut:
            return [*turns[:-1], replace(turns[-1], status=TurnStatus.INTERRUPTED)]
        return turns

    def terminal(self) -> Sequence[str]:
        """Return the command that shows Codex's screen; ``ctrl-b d`` leaves it working."""
        self._check_attached()
        return self._screen

    async def release(self) -> None:
        """End the pane, so that another door can write to the thread.

        Raises ``TurnRunning``; ``ThreadBlocked`` while a human's words stand in the composer,
        which would be lost; ``ThreadUnavailable`` when a process of it does not end.
        """
        resident = self._resident
        if resident.lost:
            return await self._house.end(resident)
        if resident.active_turn or resident.typing:
            raise TurnRunning(_BUSY)
        _, reading = await resident.typist.settled()
        if reading.look is Look.BUSY or resident.active_turn or resident.typing:
            raise TurnRunning(_BUSY)
        if reading.look is Look.TYPED and not resident.typist.is_own(reading):
            raise ThreadBlocked(reading.reason, hint=ATTACH)
        return await self._house.end(resident)

    async def close(self) -> None:
        """Let go of the pane, which lives on with its turn."""
        await self._house.let_go(self._resident)

    async def _check_thread(self) -> None:
        # A human may have opened another thread on this screen: it is no business of this one.
        shown = await asyncio.to_thread(processes.shown_thread, self._resident.leader)
        own = self.thread_id
        if not own or shown in {"", own}:
            return
        reason = f"Somebody has opened another thread on this screen: /resume {own} goes back."
        self._resident.block(reason, await self._resident.pane.look(), elsewhere=True)
        raise ThreadBlocked(reason, hint=ATTACH)

    async def _type(self, text: str) -> None:
        try:
            await self._resident.typist.enter(text)
        except ThreadBlocked as error:
            with suppress(ThreadUnavailable):
                self._resident.block(error.message, await self._resident.pane.look())
            raise

    async def _confirm(self, text: str, heard: asyncio.Event) -> None:
        end = self._clock.monotonic() + CONFIRM_SECONDS
        look = self._clock.monotonic() + AGAIN_SECONDS
        presses = 0
        while not await _within(heard, AGAIN_SECONDS if self.thread_id else NAME_SECONDS):
            now = self._clock.monotonic()
            if now >= end:
                break
            await self._following.learn_name()
            if now >= look and presses < PRESSES:
                look = now + AGAIN_SECONDS
                with suppress(ThreadUnavailable):
                    presses += await self._resident.typist.again(text)
        if self._resident.lost:
            msg = f"The pane was lost while the message was typed: {self._resident.lost}"
            raise AnswerLost(msg, connected=False)
        if heard.is_set():
            return
        msg = "The message was typed, and Codex has written nothing about it."
        with suppress(ThreadUnavailable):
            if await self._resident.typist.stands(text):
                msg = "Codex does not take the message: it still stands in the composer."
        raise AnswerLost(msg, connected=True, hint=ATTACH)

    def _check_attached(self) -> None:
        if self._resident.lost:
            msg = f"The thread is not attached: {self._resident.lost}"
            raise ThreadUnavailable(msg)

    def _refuse(self, what: str) -> NoReturn:
        msg = f"A resident Codex {what}."
        raise Unsupported(msg, hint="Use its own screen (netsky actors attach), or app_server.")


async def _within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


_BUSY: Final = "A turn already runs on this thread."
