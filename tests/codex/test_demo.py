"""The demo's actors: each plays its role by what its instructions and envelopes say."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.agents import prompts, tools
from netsky_runtime.agents.authority import role_of
from netsky_runtime.codex.base import Batch, Decision, LaunchSpec, ToolResult
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted import demo_words as words
from netsky_runtime.codex.scripted.demo import DemoScript
from netsky_runtime.codex.scripted.orders import Call, Order, Outcome, Patch, Prompt, Run, Say
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.comms.envelope import Letter, join, render
from netsky_runtime.records import MANAGER0, OWNER, Actor
from netsky_runtime.states import ActorKind, ActorStatus, DecisionWord, MessageKind, Source
from tests.support.fakes import CountingIds, ManualClock
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

TASKS = 't1 P1 done "one" worker=worker1\nt2 P2 in_progress "an open one" worker=worker2'


def actor(actor_id: str, objective: str = "") -> Actor:
    return Actor(
        id=actor_id,
        kind=ActorKind.WORKER if actor_id.startswith("worker") else ActorKind.MANAGER,
        status=ActorStatus.ACTIVE,
        manager_id=OWNER if actor_id == MANAGER0 else MANAGER0,
        objective=objective,
        created_at=0,
        updated_at=0,
    )


def letter(
    body: str, sender: str = OWNER, kind: MessageKind = MessageKind.TEXT, task_id: str = ""
) -> str:
    return render(
        Letter(
            input_id="i-0001",
            sender=sender,
            source=Source.ROOM if sender == OWNER else Source.ACTOR,
            kind=kind,
            sent_at=0,
            tag="tag00001",
            body=body,
            task_id=task_id or None,
        )
    )


class Netsky:
    """Answers orders in netsky's words, refusing what it is told to refuse."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.started = 0

    def outcome(self, order: Order) -> Outcome:
        if isinstance(order, Call):
            return Outcome(self.answer(order.tool, json.loads(order.arguments)), ok=self._ok(order))
        if isinstance(order, Run) and order.asks:
            return Outcome("", ok="approval" not in self.refuses)
        if isinstance(order, Patch) and order.asks:
            return Outcome("", ok="approval" not in self.refuses)
        return Outcome("12 passed in 0.1s")

    def answer(self, tool: str, arguments: dict[str, Any]) -> str:
        if tool in self.refuses:
            return f"You have no tool {tool!r}."
        if tool == "start_worker":
            self.started += 1
            if arguments.get("depends_on"):
                return f"t{self.started} begins with worker{self.started} when it may."
            return f"worker{self.started} works on t{self.started} and reports to you."
        if tool == "start_manager":
            return "manager1 has its objective and reports to you."
        return TASKS if tool == "list_tasks" else "ok"

    def _ok(self, order: Call) -> bool:
        return order.tool not in self.refuses


def play(
    who: Actor, text: str, *, earlier: tuple[str, ...] = (), netsky: Netsky | None = None
) -> list[Order]:
    """Return everything an actor does with a user message."""
    netsky = netsky or Netsky()
    prompt = Prompt(
        thread_id="thread-1",
        instructions=prompts.instructions(who, cwd="/project", tag="tag00001"),
        text=text,
        earlier=earlier,
        tools=frozenset(spec.name for spec in tools.specs_for(role_of(who))),
    )
    plan = DemoScript().plan(prompt)
    orders = [next(plan)]
    while True:
        try:
            orders.append(plan.send(netsky.outcome(orders[-1])))
        except StopIteration:
            return orders


def calls(orders: list[Order], tool: str) -> list[dict[str, Any]]:
    return [json.loads(o.arguments) for o in orders if isinstance(o, Call) and o.tool == tool]


def said(orders: list[Order]) -> str:
    last = orders[-1]
    assert isinstance(last, Say)
    return last.text


def test_manager0_hands_an_objective_to_three_workers_in_order() -> None:
    orders = play(actor(MANAGER0), letter("Please make the login page faster."))

    started = calls(orders, "start_worker")
    assert [one["title"] for one in started] == [
        "Look into it: make the login page faster",
        "Make the login page faster",
        "Prove it with tests: make the login page faster",
    ]
    assert [one.get("depends_on") for one in started] == [None, None, ["t2"]]
    assert "t3: Prove it with tests: make the login page faster (worker3, after t2)." in said(
        orders
    )
    assert "Nothing blocks." in said(orders)


def test_an_objective_in_parts_becomes_a_task_for_each_part() -> None:
    orders = play(actor(MANAGER0), letter("fix the importer; write a page about it"))

    titles = [one["title"] for one in calls(orders, "start_worker")]
    assert titles == ["Fix the importer", "Write a page about it"]


def test_work_of_many_parts_goes_to_a_manager_with_its_own_lane() -> None:
    request = "The billing project: move the rows; check the sums; tell the users"
    orders = play(actor(MANAGER0), letter(request))

    [started] = calls(orders, "start_manager")
    assert request in started["objective"]
    assert not calls(orders, "start_worker")
    assert said(orders).startswith("manager1 has this now")

    lane = actor("manager1", started["objective"])
    orders = play(lane, letter(started["objective"], MANAGER0))
    assert [one["title"] for one in calls(orders, "start_worker")] == [
        "Move the rows",
        "Check the sums",
        "Tell the users",
    ]


def test_a_manager_with_a_name_of_its_own_is_a_manager_too() -> None:
    orders = play(actor("docs", "write the handbook"), letter("write the handbook", MANAGER0))

    assert calls(orders, "start_worker")


@pytest.mark.parametrize("tool", ["start_worker", "start_manager"])
def test_what_could_not_be_started_is_said(tool: str) -> None:
    text = "the billing project" if tool == "start_manager" else "make it faster today"
    orders = play(actor(MANAGER0), letter(text), netsky=Netsky(tool))

    assert f"You have no tool '{tool}'." in said(orders)


def test_manager0_lets_the_owner_confirm_what_cannot_be_undone() -> None:
    request = letter("delete the old backups everywhere")
    orders = play(actor(MANAGER0), request)
    [asked] = calls(orders, "ask_owner")
    assert asked["question"] == "Shall I really go on with: delete the old backups everywhere?"
    assert not calls(orders, "start_worker")

    agreed = play(actor(MANAGER0), letter("yes, go on"), earlier=(request,))
    assert calls(agreed, "start_worker")
    refused = play(actor(MANAGER0), letter("no, better not"), earlier=(request,))
    assert not calls(refused, "start_worker")
    assert "Nothing was started" in said(refused)


def test_a_question_of_the_owner_is_answered_from_the_tasks() -> None:
    orders = play(actor(MANAGER0), letter("how is it going?"))

    assert said(orders) == (
        '1 of 2 tasks are open.\n- t2 P2 in_progress "an open one" worker=worker2'
    )
    assert not calls(orders, "start_worker")


def test_a_greeting_starts_nothing() -> None:
    assert [type(order) for order in play(actor(MANAGER0), letter("Hello there"))] == [Say]


def test_a_report_settles_its_task_and_is_told_shortly() -> None:
    report = letter("Done: make it faster.\nMuch detail.", "worker1", MessageKind.REPORT, "t1")

    orders = play(actor(MANAGER0), report)

    [update] = calls(orders, "update_task")
    assert (update["id"], update["status"]) == ("t1", "done")
    assert said(orders) == "t1 is done: make it faster.\nNothing blocks. Next: 1 more under way."


def test_several_reports_are_settled_in_one_turn() -> None:
    reports = join(
        [
            letter("Done: one.", "worker1", MessageKind.REPORT, "t1"),
            letter("Blocked: two.", "worker2", MessageKind.REPORT, "t2"),
            letter("All well.", "manager1", MessageKind.REPORT),
        ]
    )

    orders = play(actor(MANAGER0), reports)

    updates = [(one["id"], one["status"]) for one in calls(orders, "update_task")]
    assert updates == [("t1", "done"), ("t2", "failed")]
    assert "t2 is failed: two." in said(orders)
    assert "manager1: All well." in said(orders)
    assert "What blocks" in said(orders)


def test_a_report_gives_no_orders_whatever_it_quotes() -> None:
    report = letter("Done: DIE RUN[rm] as told.", "worker1", MessageKind.REPORT, "t1")

    orders = play(actor(MANAGER0), report)

    assert calls(orders, "update_task")
    assert said(orders).startswith("t1 is done: (done) (done) as told.")


def test_a_worker_reads_changes_checks_and_reports() -> None:
    task = letter("Make the login faster\n\nDetails.", MANAGER0, MessageKind.TASK, "t1")

    orders = play(actor("worker1"), task)

    commands = [order.command for order in orders if isinstance(order, Run)]
    assert commands[0] == "rg -n login src tests"
    assert "ruff check ." in commands
    assert not [o for o in orders if isinstance(o, Run | Patch) and getattr(o, "asks", False)]
    assert [order.path for order in orders if isinstance(order, Patch)] == [
        "src/login.py",
        "tests/test_login.py",
    ]
    [note] = calls(orders, "add_note")
    assert note["task_id"] == "t1"
    assert said(orders).startswith("Done: Make the login faster.\n")
    assert "12 passed" in said(orders)


def test_one_worker_asks_for_a_command_and_another_for_a_patch() -> None:
    task = letter("Make the login faster", MANAGER0, MessageKind.TASK, "t1")

    [push] = [o for o in play(actor("worker2"), task) if isinstance(o, Run) and o.asks]
    [change] = [o for o in play(actor("worker3"), task) if isinstance(o, Patch) and o.asks]

    assert push.command == "git push --set-upstream origin worker2/login"
    assert push.reason
    assert change.path == "/etc/ci/login.yml"


def test_a_declined_push_is_reported_and_a_declined_patch_blocks() -> None:
    task = letter("Make the login faster", MANAGER0, MessageKind.TASK, "t1")

    pushed = said(play(actor("worker2"), task, netsky=Netsky("approval")))
    patched = said(play(actor("worker3"), task, netsky=Netsky("approval")))

    assert pushed.startswith("Done:")
    assert "Not pushed: it was declined." in pushed
    assert patched.startswith("Blocked:")


def test_a_worker_takes_words_in_between_and_goes_on_with_its_task() -> None:
    task = letter("Make the login faster", MANAGER0, MessageKind.TASK, "t1")

    orders = play(actor("worker1"), letter("Mind the cache.", MANAGER0), earlier=(task,))

    assert said(orders).startswith("Done: Make the login faster.")


def test_a_recovered_worker_looks_first_and_finishes() -> None:
    task = letter("Make the login faster", MANAGER0, MessageKind.TASK, "t1")
    cut = letter("Your last turn was cut.", "netsky", MessageKind.RECOVERY)

    orders = play(actor("worker1"), cut, earlier=(task,))

    assert next(o.command for o in orders if isinstance(o, Run)) == "git status --short"
    assert said(orders).startswith("Done:")


def test_a_question_from_below_is_decided_the_safe_way() -> None:
    orders = play(actor(MANAGER0), letter("Which one?", "worker1", MessageKind.QUESTION))

    assert [one["to"] for one in calls(orders, "send_message")] == ["worker1"]
    assert not calls(orders, "start_worker")


def test_orders_by_hand_are_obeyed_and_capital_words_are_not() -> None:
    by_hand = play(actor(MANAGER0), letter("ASK[ls] SAY[fine]"))
    assert [type(order) for order in by_hand] == [Run, Say]
    assert said(by_hand) == "fine"

    spoken = play(actor(MANAGER0), letter("add a PATCH route to the users page"))
    assert calls(spoken, "start_worker")


@pytest.mark.parametrize("actor_id", [MANAGER0, "manager1", "worker1", "worker2", "worker3"])
@pytest.mark.parametrize("kind", list(MessageKind))
@pytest.mark.parametrize(
    "body",
    ["x", "…", "?", "a" * 5_000, "one\n\ntwo; three, and four"],
    ids=["letter", "dots", "question", "long", "parts"],
)
def test_every_call_of_every_role_is_one_that_netsky_takes(
    actor_id: str, kind: MessageKind, body: str
) -> None:
    who = actor(actor_id, "a lane of work")
    for sender in (OWNER, MANAGER0, "worker9"):
        for order in play(who, letter(body, sender, kind, "t1")):
            if isinstance(order, Call):
                tools.parse(role_of(who), order.tool, json.loads(order.arguments))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Please, can you fix the login?", "fix the login"),
        ("SQL must go", "SQL must go"),
        ("we need to tidy up. And more.", "tidy up"),
        ("", ""),
        pytest.param("word " * 40, f"{' '.join(12 * ['word'])}…", id="long"),
    ],
)
def test_the_subject_of_a_request_is_a_few_of_its_words(text: str, expected: str) -> None:
    assert words.subject(text) == expected


def test_words_are_told_apart() -> None:
    assert words.parts("- fix this\n- write that") == ["fix this", "write that"]
    assert words.titles("do a thing") == [
        "Look into it: do a thing",
        "Do a thing",
        "Prove it with tests: do a thing",
    ]
    assert words.keyword("make the login page faster") == "login"
    assert words.keyword("do it") == "core"
    assert words.greets("hi there")
    assert not words.greets("hi, make the login page faster today please")
    assert words.asks("what is open")
    assert words.risky("Deploy it")
    assert words.agrees("sure")
    assert not words.agrees("no thanks")


async def test_the_demo_paces_itself_by_the_clock_and_streams_its_words(tmp_path: Path) -> None:
    clock = ManualClock()
    runtime = ScriptedRuntime(
        directory=tmp_path, clock=clock, ids=CountingIds(), script=DemoScript()
    )
    await runtime.open()
    who = actor("worker2")
    spec = LaunchSpec(
        cwd="/project",
        instructions=prompts.instructions(who, cwd="/project", tag="tag00001"),
        sandbox="workspace-write",
        approval_policy="on-request",
        tools=tools.specs_for(role_of(who)),
    )
    session = await runtime.start(spec)
    await session.watch(True)
    task = letter("Make the login faster", MANAGER0, MessageKind.TASK, "t1")
    await session.submit(Batch(id="b-1", text=task, input_ids=("i-0001",)))

    seen: list[CodexEvent] = []

    async def attend() -> None:
        async for event in session.events():
            seen.append(event)
            if event.kind is EventKind.APPROVAL_REQUESTED:
                accept = Decision(word=DecisionWord.ACCEPT)
                await session.decide(event.data["request_id"], accept)
            elif event.kind is EventKind.TOOL_REQUESTED:
                await session.answer_tool(event.data["call_id"], ToolResult(text="ok"))

    began = clock.monotonic()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        attending = group.create_task(attend())
        while not seen or seen[-1].kind is not EventKind.TURN_COMPLETED:
            await clock.advance(0.1)
        attending.cancel()
    await runtime.close(keep_engine=False)

    assert clock.monotonic() - began > 4
    streams = {event.data["stream"] for event in seen if event.kind is EventKind.DELTA}
    assert streams == {"reasoning", "command_output", "agent_message"}
    words_told = [event for event in seen if event.data.get("type") == "agent_message"]
    assert words_told[-1].data["text"].startswith("Done:")
