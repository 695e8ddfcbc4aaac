"""The demo: a manager that plans and workers that work, played with the real tools.

Everything netsky shows of it is true of netsky: rows, tools, approvals and reports are real.
Only the model, the commands and the files are played. Orders written into a message
(``RUN[…]``, ``ASK[…]`` and so on) are obeyed here too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from netsky_runtime.codex.scripted import demo_words as words
from netsky_runtime.codex.scripted.demo_work import work
from netsky_runtime.codex.scripted.language import OrdersInText, harmless, parse
from netsky_runtime.codex.scripted.letters import letters
from netsky_runtime.codex.scripted.orders import Call, Run, Say, Think
from netsky_runtime.counting import count

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from netsky_runtime.codex.scripted.letters import Letter
    from netsky_runtime.codex.scripted.orders import Order, Outcome, Plan, Prompt

_NAME = re.compile(r"You are ([a-z][a-z0-9-]*)")
_LANE = re.compile(r"Your lane:\s*(.+?)\n\n", re.DOTALL)
_TASK_ID = re.compile(r"\bt\d+\b")
_ACTOR_ID = re.compile(r"\b(?:worker|manager)\d+\b")
_OPEN = re.compile(r"^t\d+\W+(?:P\d\W+)?(?:open|blocked|in_progress|reported)\b")
_BY_HAND = re.compile(r"\b(?:SAY|RUN|ASK|ESC|USER|PATCH|TOOL)\[|\b(?:SLOW|FLOOD)\d")
_MANAGER0, _OWNER = "manager0", "owner"
_BEAT = 0.4


class DemoScript:
    """Plays every role of the demo; told apart by the developer instructions."""

    def plan(self, prompt: Prompt) -> Plan:
        """Choose what an actor of this role does with what it was sent."""
        found = letters(prompt.text)
        mine = [letter for letter in found if letter.kind != "report"]
        if any(_ordered(letter.body) for letter in mine):
            return OrdersInText().plan(prompt)
        named = _NAME.search(prompt.instructions)
        actor = named[1] if named else ""
        if actor.startswith("worker"):
            return work(actor, prompt)
        if not mine:
            return _reports(actor, found)
        if any(letter.kind == "recovery" for letter in mine):
            return _recover(prompt)
        if mine[-1].kind == "question":
            return _decide(mine[-1])
        if actor == _MANAGER0:
            return _owner_speaks(prompt, mine[-1])
        if actor:
            return _lane(prompt, mine[-1])
        return OrdersInText().plan(prompt)


def _owner_speaks(prompt: Prompt, letter: Letter) -> Plan:
    said = letter.body
    if letter.sender != _OWNER:
        yield Say(f"{letter.sender or 'Somebody'} says: {harmless(words.first_line(said))}", _BEAT)
        return
    asked = _open_question(prompt)
    if asked:
        if not words.agrees(said):
            yield Say(f"Understood: I leave it. Nothing was started for “{asked}”.", 0.4)
            return
        yield from _delegate(asked)
    elif words.greets(said):
        yield Say("Hello. Give me an objective, and I hand it to workers and tell you what came.")
    elif words.asks(said):
        yield from _state()
    elif words.risky(said):
        subject = words.subject(said)
        yield Think("This cannot be undone easily. The owner confirms it first.", 0.8)
        yield _call("ask_owner", question=f"Shall I really go on with: {subject}?")
        yield Say(f"I asked you to confirm “{subject}” before anything is started.", _BEAT)
    else:
        yield from _delegate(said)


def _delegate(objective: str) -> Plan:
    subject = words.subject(objective)
    yield Think(
        f"The owner wants: {subject}. I look at what exists, split it into pieces that can be "
        "checked, and hand each to somebody.",
        1.2,
    )
    yield _call("list_tasks")
    yield Run("git log --oneline -1", seconds=0.3)
    if words.needs_a_lane(objective):
        outcome = yield _call(
            "start_manager",
            objective=f"{words.capital(subject)}. The whole request: {objective.strip()}",
        )
        if not outcome.ok:
            yield Say(f"I could not start a manager: {words.first_line(outcome.text)}", 0.5)
            return
        named = _ACTOR_ID.search(outcome.text)
        yield _call("add_note", body=f"{subject}: several tasks over time, so a lane of its own.")
        yield Say(
            f"{named[0] if named else 'A manager'} has this now: {subject}. Nothing blocks. "
            "I tell you what it reports.",
            0.6,
        )
        return
    started = yield from _start_workers(words.titles(objective), about=subject)
    yield Say(f"{started}\nNothing blocks. I come back with what they report.", 0.8)


def _lane(prompt: Prompt, letter: Letter) -> Plan:
    given = _LANE.search(prompt.instructions)
    if letter.sender == _OWNER or any(_is_plan(text) for text in prompt.earlier):
        yield Think(f"Words for my lane: {words.first_line(letter.body)}", 0.6)
        yield from _state()
        return
    objective = given[1] if given else letter.body
    objective = objective.partition("The whole request:")[2] or objective
    titles = words.titles(objective)
    subject = words.subject(objective)
    yield Think(
        f"My lane is: {subject}. {count(len(titles), 'task carries', 'tasks carry')} it.", 1.0
    )
    started = yield from _start_workers(titles, about=subject)
    yield Say(f"The lane has begun.\n{started}\nNothing blocks.", 0.6)


def _start_workers(titles: Sequence[str], *, about: str) -> Generator[Order, Outcome, str]:
    """Start a worker for each title, the last one after the one before it; say what was done."""
    told: list[str] = []
    before = ""
    for number, title in enumerate(titles):
        last = number == len(titles) - 1
        details: dict[str, object] = {
            "title": title,
            "body": f"This is part of: {about}. Work in the project's folder. {_done(title)}",
            "priority": "P1" if number == 0 else "P2",
            "estimate_minutes": 20 + 10 * number,
        }
        if last and before:
            details["depends_on"] = [before]
        outcome = yield _call("start_worker", **details)
        if not outcome.ok:
            told.append(f"“{title}” was not started: {words.first_line(outcome.text)}")
            continue
        task, worker = _TASK_ID.search(outcome.text), _ACTOR_ID.search(outcome.text)
        waits = f", after {before}" if "depends_on" in details else ""
        told.append(f"{task[0] if task else 'A task'}: {title} ({_who(worker)}{waits}).")
        before = task[0] if task else before
    return "\n".join(told)


def _reports(actor: str, found: Sequence[Letter]) -> Plan:
    """Judge what came back, settle its tasks, and say in a few words how things stand."""
    senders = ", ".join(dict.fromkeys(letter.sender for letter in found))
    yield Think(f"A report from {senders}. I compare it with what was asked for.", 0.8)
    told = []
    blocked = False
    for letter in found:
        head = harmless(words.first_line(letter.body)).removeprefix("Done: ")
        if not letter.task_id or letter.sender.startswith("manager"):
            told.append(f"{letter.sender}: {head}")
            continue
        status = "failed" if letter.body.startswith("Blocked") else "done"
        blocked = blocked or status == "failed"
        outcome = yield _call("update_task", id=letter.task_id, status=status, note=head)
        told.append(
            f"{letter.task_id} is {status}: {head.removeprefix('Blocked: ')}"
            if outcome.ok
            else f"{letter.task_id}: {head} (not settled: {words.first_line(outcome.text)})"
        )
    tasks = yield _call("list_tasks")
    left = sum(_OPEN.search(line) is not None for line in _task_lines(tasks.text))
    what_blocks = "What blocks: see above; tell me how to go on." if blocked else "Nothing blocks."
    next_step = f"Next: {left} more under way." if left else "Next: all of it is finished."
    told.append(f"{what_blocks} {next_step}")
    yield Say("\n".join(told), 0.6 if actor == _MANAGER0 else _BEAT)


def _state() -> Plan:
    outcome = yield _call("list_tasks")
    lines = _task_lines(outcome.text)
    running = [line for line in lines if _OPEN.search(line)]
    if not lines:
        yield Say("Nothing is under way. Give me an objective and I begin.", _BEAT)
        return
    shown = "\n".join(f"- {words.first_line(harmless(line), 100)}" for line in running[:5])
    yield Say(
        f"{len(running)} of {count(len(lines), 'task is', 'tasks are')} open.\n{shown}".rstrip(),
        0.6,
    )


def _recover(prompt: Prompt) -> Plan:
    yield Think("My last turn was cut. I look at the tasks before I do anything twice.", 0.8)
    outcome = yield _call("list_tasks")
    asked = _words_of_the_owner(prompt)
    if asked and not _task_lines(outcome.text) and not words.risky(asked[-1]):
        yield from _delegate(asked[-1])
    else:
        yield from _state()


def _decide(letter: Letter) -> Plan:
    question = harmless(words.first_line(letter.body))
    yield Think(f"{letter.sender} asks: {question} The safer way is always right here.", 0.6)
    yield _call("send_message", to=letter.sender, body="Take the way that can be undone.")
    yield Say(f"{letter.sender} asked: {question} I chose the way that can be undone.", _BEAT)


def _open_question(prompt: Prompt) -> str:
    """Return the risky objective that the owner was asked to confirm and has not answered."""
    owner = _words_of_the_owner(prompt)
    if not owner or not words.risky(owner[-1]) or words.asks(owner[-1]):
        return ""
    # The answer to an answer is a new matter.
    answered = len(owner) > 1 and words.risky(owner[-2]) and not words.risky(owner[-1])
    return "" if answered else owner[-1]


def _words_of_the_owner(prompt: Prompt) -> list[str]:
    found = [letter for text in prompt.earlier for letter in letters(text)]
    return [letter.body for letter in found if letter.sender == _OWNER]


def _ordered(body: str) -> bool:
    """Whether somebody drives the script by hand; a capital PATCH in a sentence is no order."""
    only_orders = not harmless(body).replace("(done)", "").strip()
    return bool(parse(body)) and (only_orders or _BY_HAND.search(body) is not None)


def _is_plan(text: str) -> bool:
    return any(letter.kind != "report" for letter in letters(text))


def _task_lines(text: str) -> list[str]:
    return [line.strip(" -*") for line in text.splitlines() if _TASK_ID.search(line)]


def _done(title: str) -> str:
    if words.only_looks(title):
        return "Done means: your report names the cause, with a figure."
    return "Done means: it is in the code, all tests pass, and your report names the files."


def _who(worker: re.Match[str] | None) -> str:
    return worker[0] if worker else "waits"


def _call(tool: str, **arguments: object) -> Call:
    return Call(tool, json.dumps(arguments, ensure_ascii=False), seconds=_BEAT)
