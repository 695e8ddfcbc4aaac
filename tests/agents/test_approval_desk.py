"""Decisions that are wrong, late or not heard: what becomes of the question."""

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime.agents import runner
from netsky_runtime.agents.approvals import ApprovalDesk
from netsky_runtime.agents.settlement import settle_in
from netsky_runtime.codex.base import ApprovalGone, Decision, LaunchSpec, ThreadGone
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, approval_ends, approvals, ledger, turns
from netsky_runtime.errors import Conflict, NotFound, Refused, Unhealthy, UsageError
from netsky_runtime.records import Turn
from netsky_runtime.states import (
    ActorStatus,
    ApprovalKind,
    ApprovalStatus,
    DecisionWord,
    InputStatus,
    TurnStatus,
)
from tests.support.crew import crew, scripted


@pytest.fixture(autouse=True)
def _a_lost_thread_is_looked_for_at_once(monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))


async def decline_elsewhere(runtime, question):
    """Answer as a human in Codex's own TUI does."""
    spec = LaunchSpec(
        cwd="/", instructions="", sandbox="workspace-write", approval_policy="on-request"
    )
    session = await runtime.resume(question.thread_id, spec)
    await session.decide(question.request_id, Decision(word=DecisionWord.DECLINE))
    async for event in session.events():
        if event.kind is EventKind.APPROVAL_RESOLVED:
            break
    await session.close()


async def test_an_answer_that_lacks_what_was_asked_is_refused_and_the_question_stays_open(
    tmp_path, monkeypatch
):
    said = []
    real = ScriptedSession.decide

    async def decide(self, request_id, decision):
        said.append(decision.answer)
        await real(self, request_id, decision)

    monkeypatch.setattr(ScriptedSession, "decide", decide)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("USER[which colour?]")
        question = await fleet.question()
        with pytest.raises(UsageError, match="needs an answer for answer"):
            await fleet.decide(question, answer={"wrong": "x"})
        assert await fleet.approval(question) == question
        assert said == []
        await fleet.decide(question, answer={"answer": "blue"})
        assert "blue" in (await fleet.reply_to(posted)).body
        assert said == [{"answer": "blue"}]


async def test_a_stored_decision_that_codex_refuses_is_pending_again_and_the_actor_lives_on(
    tmp_path, monkeypatch
):
    real = ScriptedSession.decide

    async def refuse(self, request_id, decision):
        raise UsageError("That is no answer to this question.")

    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        posted = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        await fleet.fleet.close()
        monkeypatch.setattr(ScriptedSession, "decide", refuse)
        decided = await fleet.decide(question)
        assert decided.status is ApprovalStatus.ACCEPTED
        await fleet.fleet.start()
        again = await fleet.question()
        assert (again.id, again.decided_by, again.answer) == (question.id, "", None)
        monkeypatch.setattr(ScriptedSession, "decide", real)
        await fleet.decide(again)
        assert (await fleet.reply_to(posted)).body == "made"


async def test_a_decision_that_came_too_late_is_a_conflict_and_not_recorded_as_taken(tmp_path):
    runtime = scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        await fleet.send("ASK[make] HANG")
        question = await fleet.question()
        await fleet.fleet.close()
        await decline_elsewhere(runtime, question)
        await fleet.fleet.start()
        await fleet.fleet.settled(seconds=5)
        with pytest.raises(Conflict, match="answered elsewhere"):
            await fleet.decide(question)
        late = await fleet.approval(question)
        assert (late.status, late.decided_by) == (ApprovalStatus.RESOLVED_ELSEWHERE, "")


async def test_a_decision_whose_engine_did_not_live_to_hear_it_is_lost(tmp_path, monkeypatch):
    runtime = scripted(tmp_path)

    async def closed(self):
        raise Unhealthy("There is no engine.")

    async with crew(tmp_path, runtime=runtime) as fleet:
        posted = await fleet.send("ASK[make]")
        question = await fleet.question()
        with monkeypatch.context() as without:
            without.setattr(ScriptedRuntime, "open", closed)
            await runtime.close(keep_engine=False)
            await fleet.decide(question)  # whether or not the loss was noticed yet
        again = await fleet.question(after=question)  # its recovery asks once more
        assert (await fleet.approval(question)).status is ApprovalStatus.LOST
        await fleet.decide(again)
        assert (await fleet.settled(posted)).status is InputStatus.ANSWERED


async def test_a_decision_that_codex_has_heard_is_not_lost_with_its_engine(tmp_path):
    runtime = scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        posted = await fleet.send("ASK[make] ASK[install]")
        heard = await fleet.question()
        await fleet.decide(heard)
        unheard = await fleet.question(after=heard)
        await runtime.close(keep_engine=False)
        await fleet.question(after=unheard)
        assert (await fleet.approval(heard)).status is ApprovalStatus.ACCEPTED
        assert (await fleet.approval(unheard)).status is ApprovalStatus.LOST
        assert (await fleet.input(posted)).status is InputStatus.SEEN


async def test_the_questions_of_a_thread_that_is_gone_are_lost(tmp_path, monkeypatch):
    runtime = scripted(tmp_path)

    async def gone(self, thread_id, spec):
        raise ThreadGone("no rollout found")

    async def parked(tx):
        return (await actors.require(tx, "manager0")).status is ActorStatus.PARKED

    async with crew(tmp_path, runtime=runtime) as fleet:
        await fleet.send("ASK[make]")
        question = await fleet.question()
        monkeypatch.setattr(ScriptedRuntime, "resume", gone)
        await runtime.close(keep_engine=False)
        await fleet.until(parked)
        assert (await fleet.approval(question)).status is ApprovalStatus.LOST


async def test_two_who_decide_at_the_same_moment_make_one_decision_and_it_is_sent_once(
    tmp_path, monkeypatch
):
    said = []
    real = ScriptedSession.decide

    async def decide(self, request_id, decision):
        said.append(decision.word)
        await real(self, request_id, decision)

    monkeypatch.setattr(ScriptedSession, "decide", decide)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("ASK[make] SAY[over]")
        question = await fleet.question()
        words = (DecisionWord.ACCEPT, DecisionWord.DECLINE)
        one, other = await asyncio.gather(
            *(fleet.decide(question, word) for word in words), return_exceptions=True
        )
        assert one.status is ApprovalStatus.ACCEPTED
        assert isinstance(other, Conflict)
        assert "accepted by owner" in str(other)
        assert said == [DecisionWord.ACCEPT]
        await fleet.reply_to(posted)
        entries = await fleet.database.read(lambda tx: ledger.of(tx, question.id))
        assert [each.entry["decision"] for each in entries] == ["accepted"]


async def test_a_decision_that_meets_the_repeated_question_is_sent_once(tmp_path, monkeypatch):
    """The thread has just come back: it asks again while the operator decides."""
    said, go_on = [], asyncio.Event()
    real = ScriptedSession.decide

    async def decide(self, request_id, decision):
        said.append(decision.word)
        await go_on.wait()
        await real(self, request_id, decision)

    runtime = scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        posted = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        await fleet.fleet.close()
        await fleet.fleet.start()
        await fleet.fleet.settled(seconds=5)
        monkeypatch.setattr(ScriptedSession, "decide", decide)
        session = fleet.fleet.session_of("manager0")
        event = session._thread.held(question.request_id)
        async with asyncio.TaskGroup() as both:
            both.create_task(fleet.decide(question))
            both.create_task(fleet.desk.requested("manager0", session, event))
            await fleet.until(_decided)
            go_on.set()
        assert (await fleet.reply_to(posted)).body == "made"
        assert said == [DecisionWord.ACCEPT]
        assert (await fleet.approval(question)).status is ApprovalStatus.ACCEPTED


async def _decided(tx):
    return await approvals.list_(tx, statuses=[ApprovalStatus.ACCEPTED])


async def test_a_thread_that_is_only_just_back_is_given_time_to_ask(tmp_path, monkeypatch):
    """Codex repeats its questions after it has answered the resume: absence proves nothing yet."""
    runtime = scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        posted = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        session = fleet.fleet.session_of("manager0")
        event = session._thread.held(question.request_id)
        real, early = ScriptedSession.decide, []

        async def decide(self, request_id, decision):
            if not early:
                early.append(request_id)
                msg = "Nobody waits for this answer."
                raise ApprovalGone(msg)
            await real(self, request_id, decision)

        monkeypatch.setattr(ScriptedSession, "decide", decide)
        fresh = ApprovalDesk(
            database=fleet.database,
            clock=fleet.clock,
            log=fleet.log,
            session_of=lambda _actor: session,
            wake=fleet.wake,
        )

        async def ask_late():
            await fleet.until(_decided)
            await fresh.requested("manager0", session, event)

        async with asyncio.TaskGroup() as both:
            both.create_task(
                fresh.decide(question.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
            )
            both.create_task(ask_late())
        assert (await fleet.reply_to(posted)).body == "made"
        assert (await fleet.approval(question)).status is ApprovalStatus.ACCEPTED


async def test_whoever_asked_and_has_no_thread_just_now_is_woken_by_the_decision(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        woken = []
        desk = ApprovalDesk(
            database=fleet.database,
            clock=fleet.clock,
            log=fleet.log,
            session_of=lambda _actor: None,
            wake=woken.append,
        )
        await desk.decide(question.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
        assert woken == ["manager0"]


async def test_a_decision_never_goes_to_another_process_that_asks_under_the_same_id(tmp_path):
    """Each process counts its questions anew: its first is not the first of the one before."""
    said = []

    class Stranger:
        engine_id = "another process"

        async def decide(self, request_id, _decision):
            said.append(request_id)

    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make]")
        question = await fleet.question()
        desk = ApprovalDesk(
            database=fleet.database,
            clock=fleet.clock,
            log=fleet.log,
            session_of=lambda _actor: Stranger(),
            wake=fleet.wake,
        )
        await desk.decide(question.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
        assert said == []
        stored = await fleet.approval(question)
        assert (stored.status, stored.sent_at) == (ApprovalStatus.ACCEPTED, None)


@pytest.mark.parametrize("word", [DecisionWord.DECLINE, DecisionWord.CANCEL])
async def test_what_was_decided_while_nobody_listened_is_the_answer_when_codex_asks_again(
    tmp_path, monkeypatch, word
):
    said = []
    real = ScriptedSession.decide

    async def decide(self, request_id, decision):
        said.append(decision.word)
        await real(self, request_id, decision)

    monkeypatch.setattr(ScriptedSession, "decide", decide)
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        posted = await fleet.send("ASK[make] SAY[over]")
        question = await fleet.question()
        await fleet.fleet.close()
        decided = await fleet.decide(question, word)
        await fleet.fleet.start()
        await fleet.settled(posted)
        assert said == [word]
        after = await fleet.approval(question)
        assert (after.status, after.decided_by) == (decided.status, "owner")
        assert after.sent_at is not None


async def test_what_a_question_does_not_offer_is_refused_and_it_stays_open(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make]")
        own = await fleet.question()
        session = fleet.fleet.session_of("manager0")
        data = session._thread.held(own.request_id).data | {
            "request_id": "narrow",
            "available_decisions": ["accept", "decline"],
        }
        kind = EventKind.APPROVAL_REQUESTED
        asked = CodexEvent(kind, own.thread_id, 1, own.turn_id, "item", data)
        await fleet.desk.requested("manager0", session, asked)
        narrow = await fleet.question(after=own)
        with pytest.raises(Refused, match="does not offer accept-for-session") as refused:
            await fleet.decide(narrow, DecisionWord.ACCEPT_FOR_SESSION)
        assert refused.value.hint == "It offers: accept, decline."
        assert await fleet.approval(narrow) == narrow


async def test_a_question_that_was_given_up_and_is_asked_all_the_same_waits_again(tmp_path):
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        posted = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        await fleet.fleet.close()
        await fleet.database.write(
            lambda tx: approval_ends.lose_place(
                tx, question.engine_id, "manager0", reason="it left", now=1
            )
        )
        await fleet.fleet.start()
        again = await fleet.question()
        assert (again.id, again.lost_reason) == (question.id, "")
        await fleet.decide(again)
        assert (await fleet.reply_to(posted)).body == "made"


async def test_a_fleet_that_is_only_detached_has_lost_and_settled_nothing(tmp_path):
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.send("ASK[make]")
        question = await fleet.question()
        await fleet.fleet.close()
        assert (await fleet.approval(question)).status is ApprovalStatus.PENDING
        decided = await fleet.decide(question)
        assert (decided.status, decided.sent_at) == (ApprovalStatus.ACCEPTED, None)
        assert (await fleet.approval(question)).lost_reason == ""


async def test_what_a_turn_had_asked_that_was_cut_is_lost_though_its_process_lives(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make]")
        question = await fleet.question()
        seat = fleet.fleet._runners["manager0"].seat

        async def cut(tx):
            turn = await turns.get(tx, question.thread_id, question.turn_id)
            over = replace(turn, status=TurnStatus.INTERRUPTED, completed_at=None)
            await settle_in(tx, seat, over, (), now=fleet.clock.now())

        await fleet.database.write(cut)
        lost = await fleet.approval(question)
        assert (lost.status, lost.lost_reason) == (
            ApprovalStatus.LOST,
            "its turn was cut by a crash",
        )


async def test_what_a_turn_had_asked_that_history_does_not_know_is_lost(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        session = fleet.fleet.session_of("manager0")
        turn = Turn(
            thread_id=session.thread_id,
            id="nobody knows it",
            actor_id="manager0",
            status=TurnStatus.IN_PROGRESS,
            started_at=1,
        )

        async def ask(tx):
            await turns.start(tx, turn)
            asked, _ = await approvals.store(
                tx,
                engine_id=session.engine_id,
                request_id="of that turn",
                thread_id=turn.thread_id,
                turn_id=turn.id,
                item_id="i",
                actor_id="manager0",
                kind=ApprovalKind.COMMAND,
                now=1,
            )
            return asked

        question = await fleet.database.write(ask)
        await fleet.fleet.reconcile("manager0")
        assert (await fleet.approval(question)).status is ApprovalStatus.LOST
        ended = await fleet.database.read(lambda tx: turns.get(tx, turn.thread_id, turn.id))
        assert (ended.status, ended.completed_at) == (TurnStatus.INTERRUPTED, None)


async def test_a_question_whose_turn_is_interrupted_is_cancelled_by_nobodys_decision(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("ASK[make]")
        question = await fleet.question()
        await fleet.fleet.interrupt("manager0")
        await fleet.settled(posted)
        row = await fleet.approval(question)
        assert (row.status, row.decided_by) == (ApprovalStatus.CANCELLED, "")


async def test_several_are_decided_each_by_itself_and_told_of_one_by_one(tmp_path):
    async with crew(tmp_path) as fleet:
        first = await fleet.send("ASK[make] ASK[install] SAY[done]")
        asked = await fleet.question()
        outcome = await fleet.desk.decide_all(
            [asked.id, "a99", asked.id], DecisionWord.ACCEPT, decided_by="owner"
        )
        assert outcome[asked.id].status is ApprovalStatus.ACCEPTED
        assert isinstance(outcome["a99"], NotFound)
        after = await fleet.question(after=asked)
        outcome = await fleet.desk.decide_all(
            [asked.id, after.id], DecisionWord.DECLINE, decided_by="owner"
        )
        assert isinstance(outcome[asked.id], Conflict)
        assert outcome[after.id].status is ApprovalStatus.DECLINED
        await fleet.settled(first)
        kinds = [e.kind for e in await fleet.database.read(lambda tx: ledger.list_(tx, limit=9))]
        assert kinds == ["decided", "decided"]


async def test_what_somebody_answered_in_a_sub_agents_thread_is_answered_elsewhere(tmp_path):
    """Its turns are not settled here: what is told of its questions is all there ever is."""
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make] HANG")
        own = await fleet.question()
        session = fleet.fleet.session_of("manager0")
        data = session._thread.held(own.request_id).data | {"request_id": "child-1"}
        kind = EventKind.APPROVAL_REQUESTED
        asked = CodexEvent(kind, "child", 1, "turn-of-child", "item", data)
        await fleet.desk.requested("manager0", session, asked)
        child = await fleet.question(after=own)
        told = replace(asked, kind=EventKind.APPROVAL_RESOLVED)
        await fleet.desk.resolved(session, told)
        assert (await fleet.approval(child)).status is ApprovalStatus.RESOLVED_ELSEWHERE
        over = replace(told, thread_id=own.thread_id, turn_id="a turn that is over")
        await fleet.desk.resolved(session, replace(over, data={"request_id": own.request_id}))
        assert (await fleet.approval(own)).status is ApprovalStatus.PENDING
