from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.hub import (
    MISSED_KEPT,
    NOT_SERVED,
    NOT_UNDERSTOOD,
    STRAYS_KEPT,
    WAITING_KEPT,
    Hub,
)
from netsky_runtime.codex.app_server.link import ThreadLink
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.events import CodexEvent, EventKind
from tests.codex.recorded import VERSIONS, messages
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGES = [{"path": "/p/f", "kind": {"type": "add"}, "diff": "one\n"}]


class Desk:
    """A hub with what it asked of others."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.refused: list[tuple[int | str, int]] = []
        self.looked_up: list[str] = []
        self.stirred: list[str] = []
        self.logged: list[str] = []
        self.hub = Hub(
            clock=self.clock,
            log=lambda level, message, fields: self.logged.append(message),
            refuse=lambda request_id, code, message: self.refused.append((request_id, code)),
            look_up=self.looked_up.append,
            stirred=self.stirred.append,
        )

    def link(self, thread_id: str, *, resuming: bool = False) -> ThreadLink:
        link = ThreadLink(thread_id, ThreadChannel(thread_id, clock=self.clock), resuming=resuming)
        self.hub.add(link)
        return link

    def turn(self, thread_id: str, turn_id: str, *, ended: bool = False) -> None:
        method = "turn/completed" if ended else "turn/started"
        status = "completed" if ended else "inProgress"
        turn = {"id": turn_id, "status": status}
        self.hub.on_notification(method, {"threadId": thread_id, "turn": turn})

    def ask(self, thread_id: str, request_id: int, method: str = approvals.COMMAND) -> None:
        params = {"threadId": thread_id, "turnId": "u", "itemId": "i", "callId": "call-1"}
        self.hub.on_request(request_id, method, params)

    def resolved(self, thread_id: str, request_id: int) -> None:
        params = {"threadId": thread_id, "requestId": request_id}
        self.hub.on_notification("serverRequest/resolved", params)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def told(link: ThreadLink) -> list[CodexEvent]:
    link.end(None)
    return [event async for event in link.channel]


async def kinds(link: ThreadLink) -> list[str]:
    return [event.kind.value for event in await told(link)]


async def test_each_thread_hears_its_own_events_in_order(desk: Desk) -> None:
    one, two = desk.link("one"), desk.link("two")
    desk.turn("one", "u1")
    desk.turn("two", "u2")
    desk.turn("one", "u1", ended=True)

    assert await kinds(one) == ["turn.started", "turn.completed"]
    assert await kinds(two) == ["turn.started"]


async def test_the_active_turn_is_the_one_that_has_not_ended(desk: Desk) -> None:
    link = desk.link("one")
    desk.turn("one", "u1")
    assert link.active_turn == "u1"
    desk.turn("one", "u1", ended=True)
    assert link.active_turn == ""

    # The answer to turn/start may be handled after the turn's end, a late item too.
    link.started("u1")
    item = {"id": "c", "type": "commandExecution"}
    desk.hub.on_notification("item/completed", {"threadId": "one", "turnId": "u1", "item": item})
    assert link.active_turn == ""
    assert link.turn_over("u1").is_set()


def status(desk: Desk, word: str) -> None:
    params = {"threadId": "one", "status": {"type": word}}
    desk.hub.on_notification("thread/status/changed", params)


async def test_a_turn_inside_another_ends_with_it(desk: Desk) -> None:
    """A review begins a turn whose end Codex does not tell."""
    link = desk.link("one")
    status(desk, "active")
    desk.turn("one", "inner")
    status(desk, "idle")
    desk.turn("one", "review", ended=True)
    assert link.active_turn == ""
    ended = [e.turn_id for e in await told(link) if e.kind is EventKind.TURN_COMPLETED]
    assert ended == ["review", "inner"]


async def test_a_turn_that_begins_before_the_end_of_another_is_told_runs_on(desk: Desk) -> None:
    link = desk.link("one")
    desk.turn("one", "u1")
    status(desk, "active")
    desk.turn("one", "u2")
    desk.turn("one", "u1", ended=True)
    status(desk, "idle")
    desk.turn("one", "u2", ended=True)
    ended = [e.turn_id for e in await told(link) if e.kind is EventKind.TURN_COMPLETED]
    assert ended == ["u1", "u2"]


async def test_events_that_arrive_before_the_answer_to_thread_start_are_kept(desk: Desk) -> None:
    desk.hub.starting(1)
    desk.turn("new", "u1")
    desk.ask("new", 0)
    desk.turn("strange", "u2")
    link = desk.link("new")
    desk.hub.starting(-1)

    assert await kinds(link) == ["turn.started", "approval.requested"]
    assert desk.looked_up == []


async def test_what_is_kept_for_a_thread_being_started_is_bounded(desk: Desk) -> None:
    desk.hub.starting(1)
    for number in range(STRAYS_KEPT + 10):
        desk.turn("new", f"u{number}")
    link = desk.link("new")
    desk.hub.starting(-1)

    assert len(await told(link)) == STRAYS_KEPT


async def test_events_of_threads_nobody_started_are_nobodys(desk: Desk) -> None:
    link = desk.link("one")
    desk.turn("a title for the TUI", "u1")
    desk.hub.on_notification("thread/started", {"thread": {"id": "a title for the TUI"}})
    desk.hub.on_notification("thread/started", {"thread": {"id": "one"}})

    assert await kinds(link) == []


async def test_a_sub_agents_events_and_questions_come_through_its_parent(desk: Desk) -> None:
    link = desk.link("one")
    for child, parent in (("child", "one"), ("grandchild", "child")):
        thread = {"id": child, "parentThreadId": parent}
        desk.hub.on_notification("thread/started", {"thread": thread})
    desk.turn("child", "u9")
    desk.ask("grandchild", 4)

    assert link.active_turn == ""
    assert list(link.questions) == ["4"]
    events = await told(link)
    assert [(event.kind, event.thread_id) for event in events] == [
        (EventKind.THREAD_STARTED, "child"),
        (EventKind.THREAD_STARTED, "grandchild"),
        (EventKind.TURN_STARTED, "child"),
        (EventKind.APPROVAL_REQUESTED, "grandchild"),
    ]
    assert events[0].data == {"parent_id": "one"}


async def test_a_question_of_an_unknown_thread_waits_until_its_parent_is_found(desk: Desk) -> None:
    link = desk.link("one")
    desk.ask("child", 4)
    desk.ask("child", 5)
    assert desk.looked_up == ["child"]
    assert link.questions == {}

    desk.hub.adopt("child", "one")

    assert list(link.questions) == ["4", "5"]


async def test_a_question_of_a_thread_that_is_not_ours_is_logged_and_left(desk: Desk) -> None:
    desk.link("one")
    desk.ask("stranger", 4)

    desk.hub.forsake("stranger")

    assert desk.refused == []
    assert desk.logged == ["a question of a thread that is not netsky's is left to others"]


async def test_a_sub_agent_is_looked_up_as_soon_as_it_is_made(desk: Desk) -> None:
    link = desk.link("one")
    item = {"id": "c", "type": "collabAgentToolCall", "receiverThreadIds": ["child"]}
    params = {"threadId": "one", "turnId": "u", "item": item}
    desk.hub.on_notification("item/completed", params)
    desk.hub.on_notification("item/completed", params)
    desk.ask("child", 4)
    assert desk.looked_up == ["child"]

    patch = {"id": "i", "type": "fileChange", "changes": CHANGES}
    desk.hub.adopt("child", "one", [{"id": "u", "items": [patch]}])

    started, asked = (await told(link))[-2:]
    assert (started.kind, started.thread_id) == (EventKind.THREAD_STARTED, "child")
    assert asked.data["request_id"] == "4"


async def test_what_a_sub_agent_does_while_it_is_looked_up_comes_before_what_it_asks(
    desk: Desk,
) -> None:
    link = desk.link("one")
    desk.hub.hold("child")
    item = {"id": "i", "type": "fileChange", "changes": CHANGES, "status": "inProgress"}
    params = {"threadId": "child", "turnId": "u", "item": item}
    desk.hub.on_notification("item/started", params)
    desk.ask("child", 4, approvals.FILE_CHANGE)

    desk.hub.adopt("child", "one", [{"id": "u", "items": []}])

    made, began, asked = await told(link)
    assert made.kind is EventKind.THREAD_STARTED
    assert (began.kind, began.item_id) == (EventKind.ITEM_STARTED, "i")
    assert "+one\n" in asked.data["patch"]


async def test_what_is_kept_of_a_thread_that_is_looked_up_is_bounded(desk: Desk) -> None:
    link = desk.link("one")
    desk.hub.hold("child")
    for number in range(MISSED_KEPT + 10):
        desk.turn("child", f"u{number}")

    desk.hub.adopt("child", "one")

    _, *kept = await told(link)
    assert [event.turn_id for event in kept] == [f"u{n}" for n in range(10, MISSED_KEPT + 10)]


async def test_a_request_netsky_does_not_serve_is_refused(desk: Desk) -> None:
    desk.hub.on_request(7, "account/chatgptAuthTokens/refresh", {})

    assert desk.refused == [(7, NOT_SERVED)]


@pytest.mark.parametrize("method", sorted(approvals.KINDS))
async def test_every_kind_of_question_is_held(desk: Desk, method: str) -> None:
    link = desk.link("one")
    desk.ask("one", 0, method)

    assert desk.refused == []
    [event] = await told(link)
    assert (event.kind, event.data["request_id"]) == (EventKind.APPROVAL_REQUESTED, "0")


async def test_a_patch_is_shown_with_the_question_about_it(desk: Desk) -> None:
    link = desk.link("one")
    item = {"id": "i", "type": "fileChange", "changes": CHANGES, "status": "inProgress"}
    desk.hub.on_notification("item/started", {"threadId": "one", "turnId": "u", "item": item})
    desk.ask("one", 0, approvals.FILE_CHANGE)

    assert "+one\n" in (await told(link))[-1].data["patch"]


@pytest.mark.parametrize("question_first", [True, False])
async def test_a_repeated_question_waits_for_the_patch_that_resume_brings(
    desk: Desk, question_first: bool
) -> None:
    link = desk.link("one", resuming=True)
    item = {"id": "i", "type": "fileChange", "changes": CHANGES, "status": "inProgress"}
    turns: list[dict[str, Any]] = [
        {"id": "old", "status": "completed"},
        {"id": "u", "status": "inProgress", "items": [item]},
    ]
    if question_first:
        desk.ask("one", 3, approvals.FILE_CHANGE)
        link.resumed(turns)
    else:
        link.resumed(turns)
        desk.ask("one", 3, approvals.FILE_CHANGE)

    assert link.active_turn == "u"
    [event] = await told(link)
    assert "+one\n" in event.data["patch"]


async def test_a_question_answered_while_the_thread_is_resumed_is_not_asked(desk: Desk) -> None:
    link = desk.link("one", resuming=True)
    desk.ask("one", 3)
    desk.resolved("one", 3)
    link.resumed([])

    assert await kinds(link) == ["approval.resolved"]


async def test_a_resolved_question_is_told_with_its_turn_and_forgotten(desk: Desk) -> None:
    link = desk.link("one")
    desk.ask("one", 3)
    desk.resolved("one", 3)

    assert link.questions == {}
    resolved = (await told(link))[-1]
    assert resolved.kind is EventKind.APPROVAL_RESOLVED
    assert (resolved.turn_id, resolved.item_id) == ("u", "i")
    assert resolved.data == {"request_id": "3"}


async def test_a_turn_that_ends_takes_its_open_questions_and_calls_with_it(desk: Desk) -> None:
    link = desk.link("one")
    desk.ask("one", 3)
    desk.ask("one", 4, approvals.TOOL_CALL)
    assert list(link.tools) == ["call-1"]
    desk.turn("one", "u", ended=True)

    assert link.questions == {}
    assert link.tools == {}
    assert await kinds(link) == [
        "approval.requested",
        "tool.requested",
        "turn.completed",
        "approval.resolved",
    ]


async def test_live_text_is_dropped_when_nobody_looks(desk: Desk) -> None:
    link = desk.link("one")
    params = {"threadId": "one", "turnId": "u", "itemId": "i", "delta": "hi"}
    desk.hub.on_notification("item/agentMessage/delta", params)
    link.watched = True
    desk.hub.on_notification("item/agentMessage/delta", params)

    assert [event.data["text"] for event in await told(link)] == ["hi"]
    assert desk.stirred == ["one"]


async def test_rate_limits_are_told_to_every_thread_once_until_they_change(desk: Desk) -> None:
    one, two = desk.link("one"), desk.link("two")
    for percent in (1, 1, 1, 2):
        limits = {"rateLimits": {"primary": {"usedPercent": percent}}}
        desk.hub.on_notification("account/rateLimits/updated", limits)

    for link in (one, two):
        events = await told(link)
        assert [event.thread_id for event in events] == [link.thread_id] * 2


async def test_what_codex_says_about_itself_is_a_notice_and_said_once(desk: Desk) -> None:
    for _ in range(3):
        desk.hub.on_notification("configWarning", {"summary": "No bwrap.", "details": "Install"})

    assert list(desk.hub.notices) == ["No bwrap. (Install)"]


async def test_a_lost_engine_is_the_last_word_to_every_thread(desk: Desk) -> None:
    one, two = desk.link("one"), desk.link("two")
    desk.ask("one", 3)
    desk.hub.end_all("It died.")
    desk.turn("two", "u")

    assert one.questions == {}
    assert [e.kind.value for e in [event async for event in one.channel]] == [
        "approval.requested",
        "session.lost",
    ]
    [last] = [event async for event in two.channel]
    assert last.data == {"reason": "It died."}


async def test_a_thread_attached_twice_ends_the_first_session_quietly(desk: Desk) -> None:
    first = desk.link("one")
    second = desk.link("one")
    desk.turn("one", "u")

    assert [event async for event in first.channel] == []
    assert await kinds(second) == ["turn.started"]


ODD: list[Any] = [None, "x", 5, [], {}, [None], {"x": 5}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in inner:
        yield (*path, key)
        if isinstance(member, dict | list):
            yield from places(member, (*path, key))


def bent(params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parameters with every member in turn replaced by what it never was."""
    for path in places(params):
        for odd in ODD:
            copied = copy.deepcopy(params)
            holder: Any = copied
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = odd
            yield copied


@pytest.mark.parametrize("version", VERSIONS)
async def test_no_member_of_a_strange_type_ends_the_reader(version: str) -> None:
    spoken = {m["method"]: m for m in messages(version) if "method" in m}
    assert len(spoken) > 10
    for method, message in spoken.items():
        for params in bent(message["params"]):
            desk = Desk()
            thread_id = params.get("threadId")
            link = desk.link(thread_id if isinstance(thread_id, str) else "one")
            if "id" in message:
                desk.hub.on_request(message["id"], method, params)
            else:
                desk.hub.on_notification(method, params)
                desk.hub.on_live_text(method, params)
            for event in await told(link):
                assert {type(event.thread_id), type(event.turn_id), type(event.item_id)} == {str}


async def test_what_cannot_be_read_is_kept_raw_and_logged_once(desk: Desk) -> None:
    link = desk.link("one")
    params = {"threadId": "one", "turnId": 7, "item": {"id": "c", "type": "agentMessage"}}
    for _ in range(3):
        desk.hub.on_notification("item/completed", params)
    desk.turn("one", "u1")

    assert await kinds(link) == ["unknown", "unknown", "unknown", "turn.started"]
    assert desk.logged == ["a message of Codex has another shape than is known"]


async def test_an_end_of_a_turn_that_cannot_be_read_is_looked_for_in_history(desk: Desk) -> None:
    link = desk.link("one")
    desk.turn("one", "u1")
    desk.hub.on_notification("turn/completed", {"threadId": "one", "turn": {"id": ["u1"]}})

    assert link.active_turn == ""
    assert await kinds(link) == ["turn.started", "unknown", "resync"]


@pytest.mark.parametrize("resuming", [False, True])
async def test_a_question_that_cannot_be_read_is_answered_with_an_error(
    desk: Desk, resuming: bool
) -> None:
    link = desk.link("one", resuming=resuming)
    desk.hub.on_request(5, approvals.COMMAND, {"threadId": "one", "turnId": ["u"]})
    link.resumed([])

    assert desk.refused == [(5, NOT_UNDERSTOOD)]
    assert await kinds(link) == []


async def test_a_kept_question_that_cannot_be_read_hides_no_other(desk: Desk) -> None:
    link = desk.link("one")
    desk.hub.on_request(5, approvals.COMMAND, {"threadId": "child", "turnId": ["u"]})
    desk.ask("child", 6)

    desk.hub.adopt("child", "one")

    assert desk.refused == [(5, NOT_UNDERSTOOD)]
    assert list(link.questions) == ["6"]


async def test_a_question_kept_for_a_parent_to_come_is_dropped_when_answered(desk: Desk) -> None:
    for request_id, turn_id in ((4, "u"), (5, "u"), (6, "u2")):
        params = {"threadId": "child", "turnId": turn_id, "itemId": "i"}
        desk.hub.on_request(request_id, approvals.COMMAND, params)
    desk.hub.adopt("child", "one")
    desk.resolved("child", 4)
    desk.turn("child", "u2", ended=True)

    link = desk.link("one")
    desk.hub.adopt("child", "one")

    assert list(link.questions) == ["5"]
    assert desk.logged == []


async def test_questions_kept_for_parents_to_come_are_bounded(desk: Desk) -> None:
    for number in range(WAITING_KEPT + 3):
        desk.ask(f"child{number}", number)
        desk.hub.adopt(f"child{number}", "a thread of somebody else")

    assert len(desk.logged) == 3


async def test_threads_that_made_each_other_are_nobodys(desk: Desk) -> None:
    for child, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        thread = {"id": child, "parentThreadId": parent}
        desk.hub.on_notification("thread/started", {"thread": thread})

    assert desk.hub.link("a") is None
    assert desk.hub.link("c") is None


async def test_a_sub_agent_that_was_unloaded_is_not_joined_again(desk: Desk) -> None:
    desk.link("one")
    for child in ("quiet", "busy"):
        thread = {"id": child, "parentThreadId": "one"}
        desk.hub.on_notification("thread/started", {"thread": thread})
    desk.hub.on_notification("thread/closed", {"threadId": "quiet"})

    assert dict(desk.hub.parents) == {"busy": "one"}


async def test_a_model_is_told_when_it_is_another_than_before(desk: Desk) -> None:
    link = desk.link("one")
    link.model = "gpt-5.4"

    def settings(thread_id: str, **told: str) -> None:
        params = {"threadId": thread_id, "threadSettings": {"cwd": "/p", **told}}
        desk.hub.on_notification("thread/settings/updated", params)

    desk.hub.adopt("child", "one")
    for model in ("gpt-5.4", "gpt-6", "gpt-6", "gpt-5.4"):
        settings("one", model=model)
    settings("one")
    settings("child", model="gpt-7")

    models = [event.data["model"] for event in await told(link) if event.kind is EventKind.MODEL]
    assert models == ["gpt-6", "gpt-5.4"]
