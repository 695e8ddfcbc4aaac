"""What a seed makes of a torture: which process is killed when. Timing is the machine's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from netsky_runtime.states import RuntimeName
from netsky_runtime.torture.points import BY_NAME, POINTS, Step

MOST_OCCURRENCES: Final = 3
STARTING_SECONDS: Final = 0.3
"""A daemon that is killed while it starts lives at most this long, once Python is loaded."""
WORKING_SECONDS: Final = 0.5
"""One that is killed at a random moment works at most this long before."""


class Target(StrEnum):
    """What is killed."""

    DAEMON = "daemon"
    ENGINE = "engine"
    TREE = "process tree"
    """The daemon, the engine and everything that they have started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One SIGKILL."""

    target: Target
    point: str = ""
    """The place; empty: a random moment."""
    occurrence: int = 1
    """Which time that this daemon comes there."""
    starting: bool = False
    """At a random moment: counted from its first step, not from when it is ready."""
    seconds: float = 0.0
    """At a random moment: how long it lives."""

    @property
    def place(self) -> str:
        """Where, in words."""
        if self.point:
            return self.point
        return "while starting" if self.starting else "while working"


def plan(seed: int, kills: int, runtime: RuntimeName) -> tuple[Kill, ...]:
    """Return the kills of a seed: every second one at a named place.

    Each place and each target has its turn before one comes again.
    """
    dice = random.Random(seed)  # noqa: S311 - a plan that can be repeated
    every = [Target.DAEMON, Target.TREE]
    if runtime is RuntimeName.APP_SERVER:
        every.append(Target.ENGINE)
    targets: list[Target] = []
    places: list[str] = []
    planned = []
    for number in range(kills):
        targets = targets or dice.sample(every, len(every))
        target = targets.pop()
        if number % 2 == 0:
            places = places or dice.sample([point.name for point in POINTS], len(POINTS))
            place = places.pop()
            # A start comes to the steps of coming back once for each actor, if at all.
            back = BY_NAME[place].step is Step.RETURNING
            occurrence = 1 if back else dice.randint(1, MOST_OCCURRENCES)
            planned.append(Kill(target=target, point=place, occurrence=occurrence))
            continue
        starting = target is not Target.ENGINE and dice.random() < 1 / 4
        longest = STARTING_SECONDS if starting else WORKING_SECONDS
        planned.append(
            Kill(target=target, starting=starting, seconds=round(dice.uniform(0, longest), 3))
        )
    return tuple(planned)
