"""A model that never answers, under the real Codex: seen, interrupted, and no model is asked."""

from datetime import UTC, datetime

PATIENCE = 4
"""Seconds; enough for a busy machine to begin a command."""


def test_a_model_that_never_answers_climbs_to_the_interrupt_and_the_actor_answers_again(
    netsky, model
):
    netsky.json("settings", "set", "silent_turn_seconds", "2")
    netsky.start()
    assert netsky.ask("SAY[warm]")["reply"]["body"] == "warm"
    asked = len(model.requests)
    sent = netsky.send("HANG")

    def silent():
        shown = netsky.json("actors", "show", "manager0")
        return shown["silent"] and shown

    shown = netsky.until(silent)
    assert (shown["health"], shown["health_reason"]) == ("unhealthy", "silent turn")
    row = netsky.settled(sent)
    assert row["status"] == "failed"
    assert row["reason"].startswith("netsky interrupted it: no sign of life of its turn for ")
    assert len(model.requests) == asked + 1
    assert netsky.ask("SAY[back]")["reply"]["body"] == "back"
    assert len(model.requests) == asked + 2

    def helped():
        rungs = netsky.json("actors", "show", "manager0")["rungs"]
        return [(rung["rung"], rung["outcome"]) for rung in reversed(rungs)]

    netsky.until(lambda: helped()[-1] == ("interrupt", "helped"))
    assert helped() == [("reconcile", "no change"), ("interrupt", "helped")]
    assert (
        "interrupt: no sign of life of its turn" in netsky.run("actors", "show", "manager0").stdout
    )


def test_a_command_that_runs_for_longer_than_a_turn_may_be_silent_is_left_alone(netsky, model):
    netsky.json("settings", "set", "silent_turn_seconds", str(PATIENCE))
    netsky.start()
    sent = netsky.send("RUN[until test -e go-on; do sleep 0.1; done] SAY[went on]")

    def silent_for_long():
        shown = netsky.json("actors", "show", "manager0")
        if shown["health_reason"] != "command running":
            return None
        silent = datetime.now(UTC) - datetime.fromisoformat(shown["last_sign_at"])
        return silent.total_seconds() > 2 * PATIENCE and shown

    assert netsky.until(silent_for_long)["health_evidence"] == "protocol"
    (netsky.work / "go-on").touch()
    assert netsky.settled(sent)["status"] == "answered"
    assert netsky.json("actors", "show", "manager0")["rungs"] == []
    assert len(model.requests) == 2


def test_an_engine_that_answers_nobody_any_more_is_replaced_and_the_thread_goes_on(netsky, model):
    netsky.json("settings", "set", "request_seconds", "1")
    netsky.start()
    assert netsky.ask("SAY[warm]")["reply"]["body"] == "warm"
    frozen = netsky.engine()
    frozen.suspend()
    assert netsky.ask("SAY[thawed]")["reply"]["body"] == "thawed"
    assert not frozen.is_running()
    assert netsky.engine().pid != frozen.pid
    assert len(model.requests) == 2
