"""A thread whose history cannot be read: nothing is sent on a guess, nothing is lost for good."""

import pytest

from netsky_runtime.agents import runner
from netsky_runtime.codex.base import Decision, HistoryUnavailable, LaunchSpec
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.states import DecisionWord, InputMode, InputStatus
from tests.support.crew import crew, scripted


@pytest.fixture(autouse=True)
def _a_lost_thread_is_looked_for_at_once(monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))


class Unreadable:
    """History that cannot be read until ``mend``; counts who tried."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self._real = ScriptedSession.history
        self.tried = 0

    def spoil(self):
        async def history(_session):
            self.tried += 1
            raise HistoryUnavailable("The rollout cannot be read.")

        self._monkeypatch.setattr(ScriptedSession, "history", history)

    def mend(self):
        self._monkeypatch.setattr(ScriptedSession, "history", self._real)


async def end_elsewhere(runtime, question):
    """Accept as a human in Codex's own TUI does, and see the turn end."""
    spec = LaunchSpec(
        cwd="/", instructions="", sandbox="workspace-write", approval_policy="on-request"
    )
    session = await runtime.resume(question.thread_id, spec)
    await session.decide(question.request_id, Decision(word=DecisionWord.ACCEPT))
    async for event in session.events():
        if event.kind is EventKind.TURN_COMPLETED:
            break
    await session.close()


async def test_nothing_is_sent_before_history_was_read_and_then_what_ended_meanwhile_is_told(
    tmp_path, monkeypatch
):
    history, runtime = Unreadable(monkeypatch), scripted(tmp_path)

    async def tried_and_tried(_tx):
        return history.tried >= 3

    async with crew(tmp_path, runtime=runtime) as fleet:
        ended = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        await fleet.fleet.close()
        await end_elsewhere(runtime, question)
        history.spoil()
        waiting = await fleet.send("SAY[next]")
        await fleet.until(tried_and_tried)
        assert (await fleet.input(waiting)).attempts == 0
        assert (await fleet.input(ended)).status is InputStatus.SEEN
        history.mend()
        assert (await fleet.reply_to(ended)).body == "made"
        assert (await fleet.reply_to(waiting)).body == "next"


async def test_a_thread_with_unreadable_history_is_looked_for_with_growing_rests(
    tmp_path, monkeypatch
):
    """The rests are the runner's own: a thread that attaches and cannot be read counts as lost."""
    rests = []
    real = runner.ActorRunner._rest

    async def rest(self, seconds):
        rests.append(seconds)
        await real(self, 0.0)

    monkeypatch.setattr(runner, "BACKOFF", (1.0, 2.0, 3.0))
    monkeypatch.setattr(runner.ActorRunner, "_rest", rest)
    history = Unreadable(monkeypatch)

    async def rested(_tx):
        return len(rests) >= 5

    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        await fleet.fleet.close()
        history.spoil()
        await fleet.fleet.start()
        await fleet.until(rested)
        assert rests[:5] == [1.0, 2.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_what_was_uncertain_is_answered_once_history_shows_it_after_all(
    tmp_path, monkeypatch, where
):
    history, runtime = Unreadable(monkeypatch), scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        first = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        steered = await fleet.send("SAY[polished]", mode=InputMode.STEER)
        await fleet.reached(steered, InputStatus.HANDED)
        await fleet.fleet.close()
        history.spoil()
        await fleet.fleet.start()
        doubtful = await fleet.reached(steered, InputStatus.UNCERTAIN)
        assert "history cannot be read" in doubtful.reason
        assert history.tried >= runner.DOUBTS_AFTER
        assert (await fleet.input(first)).status is InputStatus.SEEN
        if where == "elsewhere":
            await end_elsewhere(runtime, question)
            history.mend()
        else:
            history.mend()
            await fleet.decide(question)
        reply = await fleet.reply_to(first)
        assert reply.body == "polished"
        late = await fleet.reached(steered, InputStatus.ANSWERED)
        assert (late.reply_id, late.attempts) == (reply.id, 1)
