"""A working day in the room, always the same: for snapshots and pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netsky_runtime.approval_records import Approval
from netsky_runtime.attention.items import (
    DAY,
    EVERYBODY,
    AttentionItem,
    about_budget,
    about_failed,
    about_lost,
    about_parked,
    about_paused,
    about_quarantined,
    about_question,
    about_runs_on,
    about_stalled,
    about_stuck,
    about_uncertain,
)
from netsky_runtime.budgets import Gauge, Hold
from netsky_runtime.codex.events import EventKind
from netsky_runtime.fact_records import StoredEvent
from netsky_runtime.records import (
    CRASH_LOOP,
    MANAGER0,
    OWNER,
    Actor,
    ActorInput,
    Message,
    Session,
    Task,
)
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    ApprovalKind,
    ApprovalStatus,
    AttentionKind,
    BudgetScope,
    Direction,
    HealthState,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    Priority,
    RuntimeName,
    SessionState,
    Source,
    TaskStatus,
)
from netsky_runtime.vital_records import Health
from netsky_tui.source import ActorFacts, MessageFacts, Snapshot, TaskFacts, Totals
from tests.tui.fakes import NOW, waits

MINUTE = 60_000
PROJECT = "/home/ada/project"

PATCH = """\
--- a/src/parser.py
+++ b/src/parser.py
@@ -41,6 +41,10 @@ class Parser:
     def number(self) -> Node:
         token = self.take(Kind.NUMBER)
-        return Node("number", int(token.text))
+        try:
+            value = int(token.text, 0)
+        except ValueError as error:
+            raise ParseError(token, "not a number") from error
+        return Node("number", value)

     def name(self) -> Node:
         token = self.take(Kind.NAME)
--- a/tests/test_parser.py
+++ b/tests/test_parser.py
@@ -12,3 +12,5 @@ def test_a_sum_binds_left() -> None:

 def test_hexadecimal_numbers_are_numbers() -> None:
+    assert parse("0x1f") == Node("number", 31)
+
+
-    pass
"""


def actor(
    name: str,
    manager: str | None,
    state: HealthState,
    reason: str,
    minutes: int,
    *,
    objective: str = "",
    status: ActorStatus = ActorStatus.ACTIVE,
    approvals: int = 0,
    waiting: int = 0,
    runtime: RuntimeName = RuntimeName.APP_SERVER,
    previous: str = "",
    blocked: str = "",
) -> ActorFacts:
    kind = ActorKind.WORKER if name.startswith("worker") else ActorKind.MANAGER
    since = NOW - minutes * MINUTE
    return ActorFacts(
        actor=Actor(
            id=name,
            kind=kind,
            status=status,
            manager_id=manager,
            objective=objective,
            cwd=PROJECT,
            created_at=NOW - 300 * MINUTE + len(name),
            updated_at=since,
        ),
        health=Health(state=state, reason=reason, since=since),
        session=Session(
            id=f"s-{name}",
            actor_id=name,
            runtime=runtime,
            state=SessionState.LIVE,
            thread_id=f"019b-{name}",
            previous_thread_id=previous,
            blocked=blocked,
            blocked_at=since if blocked else None,
            cwd=PROJECT,
            model="gpt-5.4",
            sandbox="workspace-write",
            approval_policy="on-request",
            tag="ab12cd34",
            started_at=since,
        ),
        approvals=approvals,
        open_inputs=waiting,
    )


def actors() -> tuple[ActorFacts, ...]:
    busy, idle, blocked = HealthState.BUSY, HealthState.IDLE, HealthState.BLOCKED
    lost = "its engine ended: exit status 101"
    return (
        actor(MANAGER0, OWNER, busy, "turn running", 0, objective="Answers you, splits the work"),
        actor("manager1", MANAGER0, idle, "nothing to do", 12, objective="Parser rewrite"),
        actor("worker1", "manager1", blocked, "approval", 2, objective="", approvals=1),
        actor(
            "worker2",
            "manager1",
            busy,
            "turn running",
            6,
            objective="Hex and octal numbers",
            runtime=RuntimeName.RESIDENT,
        ),
        actor(
            "manager2",
            MANAGER0,
            busy,
            "turn running",
            1,
            objective="Release 1.4",
            waiting=2,
            runtime=RuntimeName.MCP_SERVER,
        ),
        actor("worker3", "manager2", blocked, "approval", 9, approvals=1),
        actor("worker4", "manager2", HealthState.UNHEALTHY, lost, 31),
        actor("worker5", MANAGER0, idle, "stopped", 180, status=ActorStatus.STOPPED),
    )


DIALOG = """\
  GPT-5.4 is no longer available

> 1. Try the new model
  2. Use the existing model

  Press enter to confirm
"""


def blocked_resident() -> ActorFacts:
    """An actor whose thread took over from another, and whose screen shows a dialog."""
    why = "a dialog that netsky does not know"
    return actor(
        MANAGER0,
        OWNER,
        HealthState.BLOCKED,
        why,
        3,
        runtime=RuntimeName.RESIDENT,
        previous="019a-lost",
        blocked=why,
    )


def task(number: int, title: str, status: TaskStatus, **fields: Any) -> TaskFacts:
    at = NOW - (200 - number) * MINUTE
    made = Task(
        id=f"t{number}",
        title=title,
        status=status,
        created_at=at,
        updated_at=at,
        **{"manager_id": "manager1", **fields},
    )
    return TaskFacts(task=made, unmet=made.depends_on)


def tasks() -> tuple[TaskFacts, ...]:
    working, blocked = TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED
    return (
        task(1, "Agree on the grammar for numbers", TaskStatus.DONE, owner_id="worker5"),
        task(
            2,
            "Reject numbers that are not",
            working,
            owner_id="worker1",
            priority=Priority.P0,
            estimate_minutes=40,
        ),
        task(3, "Read hex and octal numbers", working, owner_id="worker2", priority=Priority.P1),
        task(
            4,
            "Measure the parser before and after, on the three large files",
            blocked,
            depends_on=("t2", "t3"),
        ),
        task(
            5, "Changelog for 1.4", TaskStatus.REPORTED, owner_id="worker3", manager_id="manager2"
        ),
        task(6, "Tag and build 1.4", blocked, depends_on=("t5",), priority=Priority.P1),
        task(7, "Ask users of the old API what they miss", TaskStatus.OPEN, priority=Priority.P3),
        task(8, "Try the C extension", TaskStatus.FAILED, owner_id="worker4"),
        task(9, "Port the benchmarks", TaskStatus.CANCELLED),
    )


def message(
    number: int,
    sender: str,
    target: str,
    body: str,
    minutes: int,
    *,
    kind: MessageKind = MessageKind.TEXT,
    status: InputStatus | None = InputStatus.ANSWERED,
    mode: InputMode = InputMode.QUEUE,
    read: bool = True,
    task_id: str | None = None,
) -> MessageFacts:
    to_owner = target == OWNER
    question = kind is MessageKind.QUESTION
    return MessageFacts(
        seq=number,
        message=Message(
            id=f"m-{number:04}",
            source=Source.ROOM if sender == OWNER else Source.ACTOR,
            direction=Direction.OUTBOUND if to_owner else Direction.INBOUND,
            kind=kind,
            sender=sender,
            target=target,
            body=body,
            status=MessageStatus.ROUTED if question or not to_owner else MessageStatus.CLOSED,
            task_id=task_id,
            created_at=NOW - minutes * MINUTE,
            read_at=NOW if to_owner and read else None,
        ),
        input_id="" if to_owner else f"i-{number:04}",
        input_status=None if to_owner else status,
        mode=None if to_owner else mode,
    )


def messages() -> tuple[MessageFacts, ...]:
    report, reply, question = MessageKind.REPORT, MessageKind.REPLY, MessageKind.QUESTION
    return (
        message(
            1,
            OWNER,
            MANAGER0,
            "The parser takes 0x1f for a name. Have it fixed, with tests, and get 1.4 ready:\n"
            "  1. hex and octal numbers\n"
            "  2. an error that names the token\n"
            "  3. the changelog",
            96,
        ),
        message(
            2,
            MANAGER0,
            OWNER,
            "Two lanes: manager1 has the parser, manager2 the release. I'll tell you when the "
            "parser is measured; the release waits for it.",
            94,
            kind=reply,
        ),
        message(
            3,
            "manager1",
            "worker2",
            "Read hex and octal numbers in src/parser.py. Keep `number()` small.",
            41,
            kind=MessageKind.TASK,
            status=InputStatus.SEEN,
            task_id="t3",
        ),
        message(
            4,
            "worker3",
            "manager2",
            "Changelog written (docs/changes.md, 31 lines). Two entries need a decision: whether "
            "0o17 counts as new, and whether the old API is named.",
            17,
            kind=report,
            status=InputStatus.HANDED,
            task_id="t5",
        ),
        message(
            5,
            MANAGER0,
            OWNER,
            "Shall 1.4 drop the old API, or keep it with a warning?",
            8,
            kind=question,
            read=False,
        ),
        message(
            6,
            OWNER,
            MANAGER0,
            "Keep it, with a warning.",
            1,
            mode=InputMode.STEER,
            status=InputStatus.QUEUED,
        ),
    )


def event(
    number: int, who: str, kind: EventKind, seconds: int, *, item: str = "", **data: Any
) -> StoredEvent:
    return StoredEvent(
        seq=number,
        thread_id=f"019b-{who}",
        turn_id="turn-1",
        item_id=item,
        kind=kind.value,
        actor_id=who,
        at=NOW - seconds * 1000,
        data=data,
    )


def events() -> tuple[StoredEvent, ...]:
    item, begun = EventKind.ITEM_COMPLETED, EventKind.ITEM_STARTED
    who = MANAGER0
    return (
        event(1, who, EventKind.TURN_STARTED, 71),
        event(2, who, item, 71, item="i1", type="user_message", text="How far are the two lanes?"),
        event(3, who, item, 66, item="i2", type="reasoning", text="Look at the tasks first."),
        event(
            4,
            who,
            item,
            64,
            item="i3",
            type="tool_call",
            tool="list_tasks",
            arguments={},
            status="completed",
            success=True,
        ),
        event(
            5,
            who,
            item,
            58,
            item="i4",
            type="command",
            command="git log --oneline -3",
            cwd=PROJECT,
            status="completed",
            exit_code=0,
            duration_ms=40,
            output="4f1c2aa parser: take octal\n91d0be3 parser: take hex\n07aa4e1 tests\n",
        ),
        event(
            6,
            who,
            item,
            49,
            item="i5",
            type="command",
            command="make measure",
            cwd=PROJECT,
            status="failed",
            exit_code=2,
            duration_ms=7300,
            output="make: *** [measure] Error 2\n",
        ),
        event(
            7,
            who,
            item,
            31,
            item="i6",
            type="file_change",
            status="completed",
            changes=[{"path": "docs/plan.md", "kind": "update", "diff": "@@\n-old\n+new\n+more\n"}],
        ),
        event(8, who, begun, 12, item="i7", type="command", command="pytest -q tests", cwd=PROJECT),
    )


LIVE = {
    "actor_id": MANAGER0,
    "thread_id": f"019b-{MANAGER0}",
    "turn_id": "turn-1",
    "items": [
        {
            "item_id": "i8",
            "stream": "agent_message",
            "text": "manager1 waits for one approval from you (worker1's patch). manager2 has the "
            "changelog and decides about two entries. Nothing else is",
        }
    ],
}


def approval(number: int, who: str, kind: ApprovalKind, minutes: int, **fields: Any) -> Approval:
    return Approval(
        id=f"a{number}",
        engine_id="e-1",
        request_id=str(number),
        thread_id=f"019b-{who}",
        turn_id="turn-1",
        item_id=f"item-{number}",
        actor_id=who,
        kind=kind,
        status=ApprovalStatus.PENDING,
        created_at=NOW - minutes * MINUTE,
        **{
            "cwd": PROJECT,
            "available_decisions": ("accept", "accept_for_session", "decline", "cancel"),
            **fields,
        },
    )


def approvals() -> tuple[Approval, ...]:
    return (
        approval(
            3,
            "worker3",
            ApprovalKind.COMMAND,
            9,
            command="git push --dry-run origin HEAD:refs/heads/release/1.4",
            reason="Sees whether the branch can be pushed; needs the network.",
        ),
        approval(
            4,
            "worker1",
            ApprovalKind.FILE_CHANGE,
            2,
            patch=PATCH,
            reason="Outside of the writable folder.",
        ),
    )


def question() -> Approval:
    return approval(
        5,
        "worker2",
        ApprovalKind.USER_INPUT,
        0,
        questions=(
            {
                "id": "base",
                "header": "Base",
                "question": "Which notation for octal numbers?",
                "options": [
                    {"label": "0o17", "description": "as in Python 3"},
                    {"label": "017", "description": "as in C"},
                ],
            },
        ),
        available_decisions=("accept", "cancel"),
    )


def day(**fields: Any) -> Snapshot:
    parts: dict[str, Any] = {
        "actors": actors(),
        "tasks": tasks(),
        "messages": messages(),
        "events": events(),
        "approvals": approvals(),
        **fields,
    }
    pending = sum(a.status is ApprovalStatus.PENDING for a in parts["approvals"])
    said = parts["messages"]
    totals = Totals(
        tasks=len(parts["tasks"]),
        tasks_open=sum(not t.task.status.closed for t in parts["tasks"]),
        messages=len(said),
        unread=sum(f.message.target == OWNER and f.message.read_at is None for f in said),
        turns_running=3,
        approvals_pending=pending,
    )
    return Snapshot(**parts, totals=totals)


def paused() -> Snapshot:
    """The working day after a limit of Codex's, with budgets that are nearly or wholly used."""
    hold = Hold(reason="paused until 14:30: Codex's 5 h limit", until=NOW + 60 * MINUTE)
    queue = {"state": HealthState.HEALTHY, "reason": f"waiting: {hold.reason}"}
    waiting = tuple(
        replace(fact, health=replace(fact.health, **queue), turn=None, open_inputs=1, hold=hold)
        if fact.health.state is HealthState.BUSY
        else fact
        for fact in actors()
    )
    known = (
        Gauge(scope=BudgetScope.DAY, subject="", limit=5_000_000, used=4_310_000),
        Gauge(scope=BudgetScope.ACTOR, subject="manager0", limit=400_000, used=52_000),
    )
    return day(actors=waiting, gauges=known, hold=hold, events_of="manager0")


def asked_again(text: str) -> Message:
    """A message of the owner's that has come to nothing, or may have."""
    return message(7, OWNER, "worker2", text, 30).message


def queue() -> tuple[AttentionItem, ...]:
    """One of everything that can wait beside approvals and blocked screens."""
    kinds = AttentionKind
    spoken = messages()[4].message
    words = asked_again("Also take 0b1010 for a number, with a test.")
    doubtful = ActorInput(
        id="i-0007",
        actor_id="worker2",
        message_id=words.id,
        mode=InputMode.QUEUE,
        status=InputStatus.UNCERTAIN,
        reason="its history cannot be read: no rollout of the thread is left",
        created_at=NOW,
    )
    failed = replace(doubtful, id="i-0008", status=InputStatus.FAILED, reason="the model is down")
    loop = replace(
        actors()[6].actor, park_reason=f"{CRASH_LOOP}: came back 5 times in 10 min; last: exit 101"
    )
    parked = replace(actors()[7].actor, park_reason="no door finds its thread any more")
    lost = replace(approvals()[0], id="a1", status=ApprovalStatus.LOST)
    bad = about_quarantined("agentci", file="1795.json", reason="It is not JSON.", files=3)

    def ago(minutes: int) -> int:
        return NOW - minutes * MINUTE

    return (
        waits(kinds.QUESTION, spoken.id, MANAGER0, ago(8), about_question(spoken)),
        waits(kinds.UNCERTAIN, doubtful.id, "worker2", ago(5), about_uncertain(doubtful, words)),
        waits(kinds.CRASH_LOOP, "worker4", "worker4", ago(31), about_parked(loop)),
        waits(kinds.PARKED, "worker5", "worker5", ago(180), about_parked(parked)),
        waits(kinds.LOST, lost.id, "worker3", ago(40), about_lost(lost)),
        waits(kinds.FAILED, failed.id, "worker2", ago(30), about_failed(failed, words)),
        waits(kinds.QUARANTINED, "agentci", "agentci", ago(600), bad),
    )


def holds() -> tuple[AttentionItem, ...]:
    """What holds work until the owner does something about it."""
    found = {fact.task.id: fact.task for fact in tasks()}
    spent = Gauge(scope=BudgetScope.DAY, subject="", limit=5_000_000, used=5_010_200)
    since = NOW - 20 * MINUTE
    return (
        waits(AttentionKind.BUDGET, DAY, EVERYBODY, since, about_budget(DAY, spent, "")),
        waits(AttentionKind.PAUSED, OWNER, EVERYBODY, since, about_paused()),
        waits(AttentionKind.STUCK, "t4", OWNER, since, about_stuck(found["t4"], (found["t8"],))),
    )


def unseen() -> tuple[AttentionItem, ...]:
    """What hangs where nobody looks: a task at rest, and a turn after its stop."""
    held = next(fact.task for fact in tasks() if fact.task.id == "t3")
    session = actors()[3].session
    assert session is not None
    since = NOW - 12 * MINUTE
    runs_on = about_runs_on(session)
    return (
        waits(AttentionKind.RUNS_ON, session.thread_id, session.actor_id, since, runs_on),
        waits(AttentionKind.STALLED, held.id, "worker2", since, about_stalled(held)),
    )
