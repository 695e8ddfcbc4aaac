"""What a check is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.rows import Row, Tx

SHOWN = 100
"""How many violations one check tells; what is broken so often needs no longer list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that must never be so."""

    invariant: int
    check: str
    sentence: str
    ids: tuple[str, ...]
    """Of the rows, threads or processes that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is looked at, and the invariant that it stands for."""

    invariant: int
    name: str
    about: str
    """What is true when nothing is found."""

    def found(self, sentence: str, *ids: str) -> Violation:
        """Return a violation of it."""
        return Violation(invariant=self.invariant, check=self.name, sentence=sentence, ids=ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck(Check):
    """A check that one query makes: each row that it returns is a violation."""

    sql: str
    told: str
    """The sentence, with the query's columns in braces."""
    parameters: Sequence[Any] = ()
    live: bool = False
    """Holds only while a daemon runs: what a crash left is put right by the next start."""

    async def look(self, tx: Tx) -> list[Violation]:
        """Return what is violated in this snapshot."""
        found = await rows.many(tx, f"{self.sql} LIMIT {SHOWN}", *self.parameters)
        return [self.found(self.told.format(**dict(row)), *_ids(row)) for row in found]


def _ids(row: Row) -> tuple[str, ...]:
    """Return the values of the columns that name something."""
    named = [key for key in row.keys() if key == "id" or key.endswith("_id")]  # noqa: SIM118
    return tuple(str(row[key]) for key in named if row[key] not in {None, ""})
