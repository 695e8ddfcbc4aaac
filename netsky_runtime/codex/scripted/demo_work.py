"""How a worker of the demo does its task: it reads, changes, checks, asks, and reports."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.codex.scripted import demo_words as words
from netsky_runtime.codex.scripted.letters import letters
from netsky_runtime.codex.scripted.orders import Call, Patch, Run, Say, Think

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from netsky_runtime.codex.scripted.letters import Letter
    from netsky_runtime.codex.scripted.orders import Order, Outcome, Plan, Prompt


@dataclass(frozen=True, slots=True)
class Job:
    """One worker's task, as far as a script needs to know it."""

    worker: str
    title: str
    task_id: str
    key: str

    @property
    def number(self) -> int:
        """Which worker this is; decides what it asks for."""
        found = re.search(r"\d+$", self.worker)
        return int(found[0]) if found else 1

    @property
    def source(self) -> str:
        """The file that it changes."""
        return f"src/{self.key}.py"

    @property
    def tests(self) -> str:
        """The tests that prove it."""
        return f"tests/test_{self.key}.py"


def work(worker: str, prompt: Prompt) -> Plan:
    """Do what has come: the task, words in between, or a recovery."""
    now = letters(prompt.text)
    task = _task(now) or _task([one for text in prompt.earlier for one in letters(text)])
    if task is None:
        said = words.first_line(now[-1].body)
        yield Say(f"I have no task yet, so I only note this: {said}", 0.4)
        return
    title = words.first_line(task.body, 80).rstrip(".")
    job = Job(worker, title, task.task_id, words.keyword(title))
    if _task(now) is not None:
        yield from _whole(job)
    elif any(one.kind == "recovery" for one in now):
        yield Think("My turn was cut. First see what is already there, then finish.", 0.8)
        yield Run("git status --short", seconds=0.4)
        yield from _finish(job, pushed="")
    else:
        said = words.first_line(now[-1].body)
        yield Think(f"New words from {now[-1].sender or 'outside'}: {said} I take them in.", 0.8)
        yield Patch(job.source, asks=False, seconds=0.4)
        yield from _finish(job, pushed="")


def _whole(job: Job) -> Plan:
    yield Think(
        f"The task is: {job.title}. Done means it can be seen and tested. "
        f"First I look for where {job.key} is handled.",
        1.2,
    )
    yield Run(
        f"rg -n {job.key} src tests",
        output=(
            f"src/{job.key}.py:14:def load_{job.key}(source):\n"
            f"src/{job.key}.py:41:def save_{job.key}(rows, target):\n"
            f"src/app.py:88:    rows = load_{job.key}(request.source)\n"
        ),
        seconds=0.5,
    )
    yield Run(f"git log --oneline -3 -- {job.source}", seconds=0.3)
    if words.only_looks(job.title):
        yield from _look(job)
        return
    yield Think("The empty case walks the whole path. A guard at the top is enough.", 1.0)
    yield Patch(job.source, asks=False, seconds=0.5)
    yield Run(
        f"python -m pytest -q {job.tests}",
        output=(
            "F...\n"
            f"FAILED {job.tests}::test_empty_source - TypeError: 'NoneType' is not iterable\n"
            "1 failed, 3 passed in 0.41s\n"
        ),
        exit_code=1,
        seconds=0.9,
    )
    yield Think("One test fails: a source that was never opened reads as None.", 0.8)
    yield Patch(job.tests, asks=False, diff=_test_diff(job), seconds=0.4)
    yield from _approved(job)


def _look(job: Job) -> Plan:
    yield Run(
        f"python -m cProfile -s cumtime -m src.app --only {job.key}",
        output=(
            "         1204 function calls in 0.812 seconds\n\n"
            "   ncalls  tottime  cumtime filename:lineno(function)\n"
            f"        1    0.002    0.812 src/app.py:88(handle)\n"
            f"       40    0.640    0.788 src/{job.key}.py:14(load_{job.key})\n"
        ),
        seconds=1.2,
    )
    finding = f"97 % of the time is in load_{job.key}, called 40 times where once would do."
    yield Think(finding, 0.8)
    yield from _note(job, finding)
    yield Say(
        f"Done: {job.title}.\n{finding} Checked with a profile of one request. "
        "Nothing changed, nothing blocks. Next: the change itself.",
        0.6,
    )


def _approved(job: Job) -> Plan:
    """Ask for what the sandbox does not allow: a push, or a patch outside of the project."""
    pushed = ""
    if job.number % 3 == 0:
        outcome = yield Patch(
            f"/etc/ci/{job.key}.yml",
            kind="add",
            diff=f"job: {job.key}\nrun: python -m pytest -q {job.tests}\n",
            reason="The build server's job lies outside of the project.",
            seconds=0.4,
        )
        if not outcome.ok:
            yield from _blocked(job, "the change to the build server was declined")
            return
    elif job.number % 2 == 0:
        branch = f"{job.worker}/{job.key}"
        outcome = yield Run(
            f"git push --set-upstream origin {branch}",
            asks=True,
            reason="Pushing the branch needs the network, which the sandbox does not give.",
            seconds=0.8,
        )
        pushed = f" Branch {branch} is pushed." if outcome.ok else " Not pushed: it was declined."
    yield from _finish(job, pushed=pushed)


def _finish(job: Job, *, pushed: str) -> Plan:
    tests = yield Run("python -m pytest -q", seconds=1.0)
    yield Run("ruff check .", seconds=0.3)
    passed = re.search(r"\d+ passed", tests.text)
    yield from _note(job, f"{job.source}: guard for the empty case, with a test.")
    yield Say(
        f"Done: {job.title}.\n"
        f"Checked by the whole test suite ({passed[0] if passed else 'green'}) and ruff. "
        f"Changed: {job.source}, {job.tests}.{pushed} Nothing blocks. Next: your review.",
        0.6,
    )


def _blocked(job: Job, why: str) -> Plan:
    yield Say(
        f"Blocked: {job.title}.\nThe code is changed and tested, but {why}. "
        "Next: somebody decides how to go on without it.",
        0.6,
    )


def _note(job: Job, body: str) -> Generator[Order, Outcome, None]:
    note = {"body": body, "task_id": job.task_id} if job.task_id else {"body": body}
    yield Call("add_note", json.dumps(note), seconds=0.3)


def _task(found: Sequence[Letter]) -> Letter | None:
    return next((one for one in reversed(found) if one.kind == "task"), None)


def _test_diff(job: Job) -> str:
    return (
        "@@ -1,4 +1,12 @@\n"
        f" from src.{job.key} import load_{job.key}\n"
        " \n"
        " \n"
        "+class Empty:\n"
        "+    def read(self):\n"
        "+        return None\n"
        "+\n"
        "+\n"
        f"+def test_an_empty_source_gives_no_rows():\n"
        f"+    assert load_{job.key}(Empty()) == []\n"
        "+\n"
        f" def test_rows_come_in_order():\n"
    )
