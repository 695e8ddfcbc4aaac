"""Decisions that are wrong, late or not heard: what becomes of the question."""

import pytest

from netsky_runtime.agents import runner
from netsky_runtime.codex.base import Decision, LaunchSpec, ThreadGone
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors
from netsky_runtime.errors import Conflict, Unhealthy, UsageError
from netsky_runtime.states import ActorStatus, ApprovalStatus, DecisionWord, InputStatus
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
