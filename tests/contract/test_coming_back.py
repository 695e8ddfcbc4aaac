"""Resuming, restarting and losing the engine, on every runtime."""

from __future__ import annotations

import pytest

from netsky_runtime.codex.base import (
    ApprovalGone,
    HistoryUnavailable,
    ThreadGone,
    ThreadUnavailable,
    Unsupported,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import RuntimeName, TurnStatus
from tests.contract.rigs import (
    ACCEPT,
    Rig,
    Stage,
    approval,
    batch,
    says,
    spec_for,
)


async def test_a_thread_cannot_be_resumed_before_its_first_turn(stage: Stage) -> None:
    session, _ = await stage.start()

    with pytest.raises(ThreadGone):
        await stage.resume(session.thread_id)


async def test_a_thread_without_a_turn_is_gone_with_its_engine(stage: Stage) -> None:
    session, _ = await stage.start()
    await stage.restart(keep_engine=False)

    with pytest.raises(ThreadGone):
        await stage.resume(session.thread_id)


async def test_the_next_netsky_resumes_the_thread_with_its_history(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")
    before = await session.history()
    await stage.restart(keep_engine=False)
    if not await stage.comes_back(session.thread_id):
        return

    again, told = await stage.resume(session.thread_id)
    assert again.thread_id == session.thread_id
    assert again.engine_id != session.engine_id
    assert again.differences == ()
    assert again.active_turn == ""
    assert [(turn.id, stage.batches(turn), turn.status) for turn in await again.history()] == [
        (turn.id, stage.batches(turn), turn.status) for turn in before
    ]
    await says(again, told, "SAY[two]", 2)

    turns = await again.history()
    assert [stage.batches(turn) for turn in turns] == [["batch-1"], ["batch-2"]]
    assert [turn.items[-1].text for turn in turns] == ["one", "two"]
    assert len({turn.id for turn in turns}) == 2


async def test_usage_is_repeated_on_resume_and_not_counted_twice(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")
    [first] = [event.data for event in told.events if event.kind is EventKind.USAGE]
    await session.close()

    _, told = await stage.resume(session.thread_id)
    repeated = await told.next(EventKind.USAGE)

    assert repeated.data["total_tokens"] == first["total_tokens"]


async def test_a_turn_goes_on_while_nobody_is_attached(stage: Stage) -> None:
    session, told = await stage.start()
    asks = stage.runtime.capabilities.approvals
    await session.submit(batch(f"{'ESC[echo yes]' if asks else 'HANG'} SAY[done]"))
    begun = await (approval(told) if asks else stage.hanging(told))
    await session.close()
    again, told = await stage.resume(session.thread_id)
    if asks:
        await again.decide((await approval(told)).data["request_id"], ACCEPT)
    stage.rig.release()

    end = await told.turn_end()

    assert (end.turn_id, end.data["status"]) == (begun.turn_id, "completed")


async def test_a_running_turn_outlives_netsky_or_is_cut_as_the_capability_says(
    rig: Rig, stage: Stage
) -> None:
    session, told = await stage.start()
    await session.submit(batch("HANG SAY[still working]"))
    begun = await stage.hanging(told)
    survives = stage.runtime.capabilities.survives_netsky

    await stage.restart(keep_engine=survives)
    if not await stage.comes_back(session.thread_id):
        return
    again, told = await stage.resume(session.thread_id)

    if survives:
        assert again.engine_id == session.engine_id
        assert again.active_turn == begun.turn_id
        rig.release()
        end = await told.turn_end()
        assert (end.turn_id, end.data["status"]) == (begun.turn_id, "completed")
        assert told.words() == ["still working"]
    else:
        assert again.engine_id != session.engine_id
        assert again.active_turn == ""
        [cut] = await again.history()
        assert (cut.status, cut.completed_at) == (TurnStatus.INTERRUPTED, None)


async def test_an_engine_that_dies_ends_every_session_with_the_reason(stage: Stage) -> None:
    first, first_told = await stage.start()
    second, second_told = await stage.start()
    await says(first, first_told, "SAY[one]")
    await says(second, second_told, "SAY[two]")

    await stage.rig.kill_engine()

    for session, told in ((first, first_told), (second, second_told)):
        lost = await told.next(EventKind.SESSION_LOST)
        assert lost.data["reason"]
        assert [event async for event in session.events()] == []
        assert session.active_turn == ""


async def test_a_session_without_its_engine_refuses_everything_by_its_name(stage: Stage) -> None:
    session, told = await stage.start()
    await session.submit(batch("HANG"))
    begun = await stage.hanging(told)
    await stage.rig.kill_engine()
    await told.next(EventKind.SESSION_LOST)

    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[two]", 2))
    with pytest.raises(ThreadUnavailable):
        await session.interrupt(begun.turn_id)
    if await stage.steers(session, begun.turn_id):
        with pytest.raises(ThreadUnavailable):
            await session.steer(batch("SAY[two]", 2), turn_id=begun.turn_id)
    # Not gone: a thread attached anew may ask again.
    with pytest.raises(ThreadUnavailable if stage.runtime.capabilities.approvals else Unsupported):
        await session.decide("0", ACCEPT)
    with pytest.raises(HistoryUnavailable):
        await session.history()
    await session.close()


async def test_nothing_is_started_without_an_engine_or_it_comes_with_the_thread(
    stage: Stage,
) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")
    await stage.rig.kill_engine()
    await told.next(EventKind.SESSION_LOST)

    if stage.runtime.name is not RuntimeName.RESIDENT:
        with pytest.raises(ThreadUnavailable):
            await stage.start()
        with pytest.raises(ThreadUnavailable):
            await stage.resume(session.thread_id)
        return
    again, told = await stage.resume(session.thread_id)
    await says(again, told, "SAY[two]", 2)
    assert again.engine_id != session.engine_id
    assert [stage.batches(turn) for turn in await again.history()] == [["batch-1"], ["batch-2"]]


async def test_a_turn_cut_by_a_crash_has_no_end_time_and_the_thread_goes_on(
    rig: Rig, stage: Stage
) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")
    await session.submit(batch("HANG", 2))
    begun = await stage.hanging(told, 2)
    await rig.kill_engine()
    await told.next(EventKind.SESSION_LOST)

    await stage.runtime.open()
    if not await stage.comes_back(session.thread_id):
        return
    again, told = await stage.resume(session.thread_id)

    assert again.engine_id != session.engine_id
    cut = (await again.history())[-1]
    assert (cut.id, cut.status, cut.completed_at) == (
        begun.turn_id,
        TurnStatus.INTERRUPTED,
        None,
    )
    assert stage.batches(cut) == ["batch-2"]
    end = await says(again, told, "SAY[three]", 3)
    assert end.data["status"] == "completed"
    assert told.words() == ["three"]


async def test_an_approval_does_not_outlive_its_engine(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("ESC[echo yes]"))
    asked = await approval(told)
    await stage.rig.kill_engine()
    await told.next(EventKind.SESSION_LOST)
    await stage.runtime.open()
    if not await stage.comes_back(session.thread_id):
        return

    again, told = await stage.resume(session.thread_id)

    with pytest.raises(ApprovalGone):
        await again.decide(asked.data["request_id"], ACCEPT)
    await says(again, told, "SAY[two]", 2)
    assert EventKind.APPROVAL_REQUESTED not in [event.kind for event in told.events]


async def test_opening_again_keeps_the_engine(stage: Stage) -> None:
    first, _ = await stage.start()
    await stage.runtime.open()
    second, _ = await stage.start()

    assert first.engine_id == second.engine_id


async def test_a_runtime_that_is_not_open_starts_nothing(rig: Rig) -> None:
    runtime = rig.runtime()

    with pytest.raises(ThreadUnavailable):
        await runtime.start(spec_for(rig))
    with pytest.raises(ThreadUnavailable):
        await runtime.resume("0199aaaa-0000-7000-8000-000000000000", spec_for(rig))


async def test_closing_the_runtime_ends_every_session(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")

    await stage.runtime.close(keep_engine=False)
    await stage.runtime.close(keep_engine=False)

    kinds = [event.kind async for event in session.events()]
    assert EventKind.TURN_COMPLETED not in kinds
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[two]", 2))


async def test_a_runtime_says_what_it_is(stage: Stage) -> None:
    info = await stage.runtime.info()

    assert info.name is stage.runtime.name
    assert info.version
    assert info.detail
