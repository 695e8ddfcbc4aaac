"""What a torture comes to, for people and for scripts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.counting import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEW_UNCERTAIN: Final = 3
UNCERTAIN_PERCENT: Final = 10
"""What may be uncertain in the end: a few, or so many percent of what was accepted."""


@dataclass(slots=True)
class Report:
    """All that was counted. What must be zero is told line by line."""

    runtime: str
    seed: int
    places: Counter[str] = field(default_factory=Counter)
    """Kills by place."""
    targets: Counter[str] = field(default_factory=Counter)
    """Kills by what was killed."""
    missed: Counter[str] = field(default_factory=Counter)
    """Named places that a daemon did not come to in its time: it was killed at that moment."""
    inputs: int = 0
    """Inputs that were accepted."""
    ends: Counter[str] = field(default_factory=Counter)
    """What became of them."""
    refusals: Counter[str] = field(default_factory=Counter)
    """What was refused, by verb and kind of error."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    uncertain: int = 0
    approvals: int = 0
    """Decisions that were accepted."""
    approvals_lost: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Starts that failed, daemons that live and do not answer, and errors that nobody foresaw."""
    read: int = 0
    """Threads whose history was read in the end."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Threads whose history could not be, and why."""
    checks: int = 0
    """How often everything was checked."""
    invariants: int = 0
    """Of how many kinds."""
    reconcile: list[float] = field(default_factory=list)
    """Seconds from a start's first step until it was ready, one for each."""
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """How often something was killed."""
        return self.places.total()

    @property
    def clean(self) -> bool:
        """Whether everything is zero that must be."""
        return not self.broken()

    def broken(self) -> list[str]:
        """Return everything that must not be, a line each, when the torture is over."""
        return [*self.found(), *(f"nothing proven: {line}" for line in self._unproven())]

    def _unproven(self) -> list[str]:
        """Say why nothing follows from zeros."""
        told = []
        if not self.inputs:
            told.append("no input was accepted")
        elif not self.ends["answered"]:
            told.append(f"none of {count(self.inputs, 'input')} was answered")
        if self.uncertain > max(FEW_UNCERTAIN, self.inputs * UNCERTAIN_PERCENT // 100):
            told.append(f"{self.uncertain} of {self.inputs} inputs are uncertain")
        if self.refusals.total() > self.inputs:
            refused = count(self.refusals.total(), "wish was", "wishes were")
            told.append(f"{refused} refused: {dict(self.refusals)}")
        return told

    def found(self) -> list[str]:
        """Return what was found so far that must not be, a line each."""
        told = {
            "lost": self.lost,
            "doubled": self.doubled,
            "begun too early": self.early,
            "approval lost silently": self.approvals_lost,
            "orphan": self.orphans,
            "invariant": self.violations,
            "failure": self.failures,
        }
        return [f"{what}: {line}" for what, lines in told.items() for line in lines]

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "runtime": self.runtime,
            "seed": self.seed,
            "kills": self.kills,
            "by_place": dict(sorted(self.places.items())),
            "by_target": dict(sorted(self.targets.items())),
            "not_reached": dict(sorted(self.missed.items())),
            "inputs": self.inputs,
            "inputs_by_end": dict(sorted(self.ends.items())),
            "refused": self.refusals.total(),
            "refused_by_verb": dict(sorted(self.refusals.items())),
            "lost": len(self.lost),
            "doubled": len(self.doubled),
            "begun_too_early": len(self.early),
            "uncertain": self.uncertain,
            "approvals_decided": self.approvals,
            "approvals_lost_silently": len(self.approvals_lost),
            "orphans": len(self.orphans),
            "histories_read": self.read,
            "histories_unread": len(self.unread),
            "invariants": self.invariants,
            "checks": self.checks,
            "violations": len(self.violations),
            "failures": len(self.failures),
            "reconcile_p50_s": round(percentile(self.reconcile, 50), 3),
            "reconcile_p99_s": round(percentile(self.reconcile, 99), 3),
            "seconds": round(self.seconds, 1),
            "broken": self.broken(),
            "ok": self.clean,
        }


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of all do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]
