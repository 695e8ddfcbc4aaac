"""How a text gets into Codex's composer, and out of it: never over anything, never blindly.

The screen says whether text may be typed and whether it stands there whole. Whether Codex has
consumed it only the rollout says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import AnswerLost, ThreadBlocked, ThreadUnavailable, TurnRunning
from netsky_runtime.codex.resident.command import typable
from netsky_runtime.codex.resident.control import ControlLost
from netsky_runtime.codex.resident.screen import Capture, Look, Reading, read, shows, tail

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.resident.pane import Pane

SETTLE_SECONDS: Final = 2.0
"""How long a screen may take to become readable, or to show the end of a turn that is over."""
SHOW_SECONDS: Final = 5.0
"""How long Codex may take to show what was pasted; 1 MB took it 0.5 s."""
LOOK_SECONDS: Final = 0.05
DIALOG_LOOKS: Final = 5
"""Looks in a row that a dialog must stand: a frame that is being drawn has no cursor either."""
_PASSING: Final = frozenset({Look.DIALOG, Look.UNREADABLE})
ATTEMPTS: Final = 6
"""Looks at a screen that changes under the typing, until it is given up."""
_UNSETTLED: Final = frozenset({Look.STARTING, Look.UNREADABLE})


class Typist:
    """Types into one pane. One text at a time."""

    def __init__(self, pane: Pane, *, clock: Clock) -> None:
        self._pane = pane
        self._clock = clock
        self._left = ""
        """What was pasted and never sent: it may still stand in the composer."""

    async def enter(self, text: str) -> None:
        """Paste a text into an empty composer and press Enter.

        What an earlier call with this text has left in the composer is sent, not pasted again.
        Raises ``TurnRunning``, ``ThreadBlocked`` or ``ThreadUnavailable``: then nothing of it is
        anywhere. From the paste on whatever goes wrong is an ``AnswerLost``.
        """
        text = typable(text)
        if not await self._stands_or_pasted(text):
            raise self._restless()
        try:
            await self._send(text)
        except ControlLost as error:
            msg = "The message was typed, and tmux does not say whether it was sent."
            raise AnswerLost(msg, connected=True) from error
        except (TurnRunning, ThreadBlocked, ThreadUnavailable) as error:
            msg = f"The message was typed and not sent: {error.message}"
            raise AnswerLost(msg, connected=True, hint=error.hint or ATTACH) from error
        self._left = ""

    async def _stands_or_pasted(self, text: str) -> bool:
        for _ in range(ATTEMPTS):
            shot, reading = await self.settled()
            if self._left == text and reading.look is not Look.READY:
                return True  # of an earlier attempt
            self._check(shot, reading)
            await self._pane.load(text)
            before, self._left = self._left, text
            try:
                pasted = await self._pane.paste(onto=shot)
            except ControlLost as error:
                msg = "tmux does not say whether the message was typed."
                raise AnswerLost(msg, connected=True, hint=ATTACH) from error
            if pasted:
                return True
            self._left = before
        return False

    async def _send(self, text: str) -> None:
        for _ in range(ATTEMPTS):
            shot = await self._shown(text)
            if await self._pane.press("C-m", on=shot):
                return
        raise self._restless()

    async def again(self, text: str) -> bool:
        """Press Enter once more if the text still stands there: then it was not consumed.

        Returns whether it stood there. Raises ``ControlLost``, ``ThreadUnavailable``.
        """
        text = typable(text)
        shot, reading = await self.look()
        if reading.look is not Look.TYPED or not shows(reading, text):
            return False
        await self._pane.press("C-m", on=shot)
        return True

    async def stands(self, text: str) -> bool:
        """Whether the text still stands in the composer; then it is remembered."""
        text = typable(text)
        _, reading = await self.look()
        if not shows(reading, text):
            return False
        self._left = text
        return True

    def is_own(self, reading: Reading) -> bool:
        """Whether what stands in the composer is what was pasted here and never sent."""
        return bool(self._left) and shows(reading, self._left)

    async def look(self) -> tuple[Capture, Reading]:
        """Return what the pane shows; a dialog only if it stands. Raises ``ThreadUnavailable``."""
        looks = 0
        while True:
            shot = await self._pane.look()
            reading = read(shot)
            looks += 1
            if reading.look not in _PASSING or looks >= DIALOG_LOOKS:
                return shot, reading
            await self._clock.sleep(LOOK_SECONDS)

    async def settled(self) -> tuple[Capture, Reading]:
        """Return what the pane shows once it has been drawn. Raises ``ThreadUnavailable``.

        A turn counts as running when it is shown for a while: the rollout is the sooner to tell.
        """
        end = self._clock.monotonic() + SETTLE_SECONDS
        while True:
            shot, reading = await self.look()
            if reading.look not in _UNSETTLED | {Look.BUSY} or self._clock.monotonic() >= end:
                return shot, reading
            await self._clock.sleep(LOOK_SECONDS)

    async def _shown(self, text: str) -> Capture:
        looks, end = 0, self._clock.monotonic() + SHOW_SECONDS
        while True:
            shot, reading = await self.look()
            looks += 1
            if reading.look is Look.TYPED and shows(reading, text):
                return shot
            if self._clock.monotonic() >= end:
                break
            if reading.look not in {Look.READY, Look.TYPED} | _UNSETTLED:
                break
            await self._clock.sleep(LOOK_SECONDS)
        if reading.look is Look.READY:
            msg = f"The pane {self._pane.session} never showed what was pasted, in {looks} looks."
            raise ThreadUnavailable(msg, hint=f"It shows: {tail(shot)}")
        self._check(shot, reading)
        raise self._restless()

    def _check(self, shot: Capture, reading: Reading) -> None:
        match reading.look:
            case Look.READY:
                return
            case Look.BUSY:
                msg = "A turn already runs on this thread."
                raise TurnRunning(msg)
            case Look.STARTING:
                msg = f"Codex is starting in the pane {self._pane.session}."
                raise ThreadUnavailable(msg)
            case Look.DEAD:
                msg = f"Codex has ended in the pane {self._pane.session}: {tail(shot)}"
                raise ThreadUnavailable(msg)
            case _:
                raise ThreadBlocked(reading.reason, hint=ATTACH)

    def _restless(self) -> ThreadBlocked:
        msg = f"Somebody types in the pane {self._pane.session}, or its screen does not rest."
        return ThreadBlocked(msg, hint=ATTACH)


ATTACH: Final = "Look at it: netsky actors attach."
