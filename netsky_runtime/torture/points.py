"""The named places at which a daemon is killed: between every two steps of what it does.

A place is a statement that the daemon's one writer runs. ``BEFORE`` it nothing of its transaction
is on the disk; ``AFTER`` its commit nobody has been told of it and nothing was sent for it yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_HEAD: Final = 600
"""Characters of a statement that are looked at: bodies and envelopes come later."""


class When(StrEnum):
    """On which side of the statement's commit."""

    BEFORE = "before"
    AFTER = "after"


class Step(StrEnum):
    """What the daemon is in the middle of, and what makes it come there."""

    SENDING = "sending"
    REPLYING = "replying"
    APPROVING = "approving"
    STARTING = "starting a worker"
    RETURNING = "coming back after a kill"


@dataclass(frozen=True, slots=True)
class Point:
    """A place between two steps."""

    name: str
    step: Step
    statement: str
    """How the statement begins: a pattern over its words, one space between them."""
    when: When

    def matches(self, sql: str) -> bool:
        """Whether this is the statement."""
        return re.match(self.statement, " ".join(sql[:_HEAD].split())) is not None


def _around(name: str, step: Step, statement: str) -> tuple[Point, Point]:
    return (
        Point(f"{name}:before", step, statement, When.BEFORE),
        Point(f"{name}:after", step, statement, When.AFTER),
    )


POINTS: Final = (
    *_around("message stored", Step.SENDING, "INSERT INTO messages"),
    *_around("intent stored", Step.SENDING, "UPDATE actor_inputs SET envelope ="),
    *_around("handed", Step.SENDING, "UPDATE actor_inputs SET status = 'handed'"),
    *_around("seen", Step.SENDING, "UPDATE actor_inputs SET status = 'seen'"),
    *_around("turn started", Step.SENDING, "INSERT INTO turns"),
    *_around("turn ended", Step.REPLYING, "UPDATE turns SET status ="),
    *_around("reply written", Step.REPLYING, r"INSERT INTO messages .*VALUES .*'re(ply|port)'"),
    *_around("answered", Step.REPLYING, "UPDATE actor_inputs SET status = 'answered'"),
    *_around("facts stored", Step.REPLYING, "INSERT INTO events"),
    *_around("approval stored", Step.APPROVING, "INSERT INTO approvals"),
    *_around("decision stored", Step.APPROVING, "UPDATE approvals SET status = .*answer_json ="),
    *_around("decision sent", Step.APPROVING, "UPDATE approvals SET sent_at ="),
    *_around("task stored", Step.STARTING, "INSERT INTO tasks"),
    *_around("worker stored", Step.STARTING, r"INSERT INTO actors .*'worker\d"),
    *_around("tool answered", Step.STARTING, "INSERT INTO tool_calls"),
    *_around("session stored", Step.STARTING, "INSERT INTO sessions"),
    *_around("thread named", Step.STARTING, "UPDATE sessions SET thread_id = '[^']"),
    *_around("recovery stored", Step.RETURNING, r"INSERT INTO messages .*VALUES .*'recovery'"),
    *_around("approvals lost", Step.RETURNING, "UPDATE approvals SET status = 'lost'"),
    *_around("session live", Step.RETURNING, "UPDATE sessions SET state = 'live'"),
)
BY_NAME: Final = {point.name: point for point in POINTS}
