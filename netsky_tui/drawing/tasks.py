"""Tasks: one row where there is room for columns, else two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.states import Priority, TaskStatus
from netsky_tui.text import Line, beside, cells, columns, line_width, one_line, pad, truncate
from netsky_tui.words import FAILED_TURN, PRIORITY_TONE, TASK, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_tui.source import TaskFacts

_WIDE = 72
_ID, _OWNER = 4, 9
"""Columns that ids and owners take at least: a cut one names nothing, so longer ones take more."""
_ORDER = {
    TaskStatus.REPORTED: 0,
    TaskStatus.IN_PROGRESS: 1,
    TaskStatus.OPEN: 2,
    TaskStatus.BLOCKED: 3,
    TaskStatus.FAILED: 4,
    TaskStatus.DONE: 5,
    TaskStatus.CANCELLED: 6,
}


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as the room shows it."""

    key: str
    priority: Priority
    status: TaskStatus
    title: str
    owner: str
    hint: str
    """What it waits for, or who decides."""
    failed: bool = False
    """Whether the last turn on it failed."""

    @property
    def mark(self) -> Mark:
        """How it stands."""
        return FAILED_TURN if self.failed else TASK[self.status]

    @property
    def search(self) -> str:
        """The words a filter looks at."""
        status = self.mark.word
        return f"{self.key} {self.priority} {status} {self.title} {self.owner} {self.hint}"


def rows(facts: Sequence[TaskFacts]) -> tuple[TaskRow, ...]:
    """Order tasks: what needs a decision, what runs, what is open, what is over (newest first)."""
    return tuple(_row(fact) for fact in sorted(facts, key=_order))


def _order(fact: TaskFacts) -> tuple[int, str, int]:
    task = fact.task
    place = _ORDER[task.status]
    if task.status.closed:
        return place, "", -(task.closed_at or task.updated_at)
    return place, task.priority.value, _number(task.id)


def _number(task_id: str) -> int:
    digits = task_id[1:]
    return int(digits) if digits.isdecimal() else 0


def _row(fact: TaskFacts) -> TaskRow:
    task, unmet = fact.task, fact.unmet
    hint = ""
    if task.status is TaskStatus.REPORTED:
        hint = f"{task.manager_id} decides" if task.manager_id else "you decide"
    elif unmet and not task.status.closed:
        hint = f"after {', '.join(unmet[:3])}" + ("…" if len(unmet) > 3 else "")
    elif task.estimate_minutes and not task.status.closed:
        hint = f"~{task.estimate_minutes} min"
    return TaskRow(
        key=task.id,
        priority=task.priority,
        status=task.status,
        title=one_line(task.title)[:400],
        owner=one_line(task.owner_id or ""),
        hint=hint,
        failed=fact.failed,
    )


def height(width: int) -> int:
    """Rows a task takes at this width."""
    return 1 if width >= _WIDE else 2


def draw(row: TaskRow, width: int) -> list[Line]:
    """Draw id, priority, status word, title, owner and hint; title and hint give way."""
    mark = row.mark
    name = max(_ID, cells(row.key))
    title_tone = "faint" if row.status.closed else "text"
    priority = (row.priority.value, 2, PRIORITY_TONE[row.priority])
    if width >= _WIDE:
        status = f"{mark.glyph} {mark.word}"
        owner = max(_OWNER, cells(row.owner))
        rest = width - (name + 1) - 3 - 14 - (owner + 1) - 17
        return [
            columns(
                (row.key, name, "dim"),
                priority,
                (status, 13, mark.tone),
                (row.title, rest, title_tone),
                (row.owner or "nobody", owner, "who" if row.owner else "faint"),
                (row.hint, 16, "dim"),
            )
        ]
    first = columns((row.key, name, "dim"), priority, (row.title, width - name - 4, title_tone))
    who = (row.owner or "nobody yet", "who" if row.owner else "faint")
    left = [
        (" " * (name + 1), "text"),
        (f"{mark.glyph} {mark.word}", mark.tone),
        (" · ", "faint"),
        who,
    ]
    hint = truncate([(row.hint, "dim")], max(0, width - line_width(left) - 1))
    return [first, beside(left, hint if row.hint else [(pad("", 1), "text")], width)]
