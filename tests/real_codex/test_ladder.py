"""A model that never answers, under the real Codex: seen, interrupted, and no model is asked."""


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


def test_a_command_that_runs_for_longer_than_a_turn_may_be_silent_is_left_alone(netsky):
    netsky.json("settings", "set", "silent_turn_seconds", "1")
    netsky.start()
    sent = netsky.send("RUN[sleep 4] SAY[slept]")

    def running():
        shown = netsky.json("actors", "show", "manager0")
        return shown["health_reason"] == "command running" and shown

    assert netsky.until(running)["health_evidence"] == "protocol"
    assert netsky.settled(sent)["status"] == "answered"
    assert netsky.json("actors", "show", "manager0")["rungs"] == []


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
