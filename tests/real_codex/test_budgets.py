"""Budgets and limits under the real Codex, through daemon and command line."""


def waits(netsky, message_id):
    return netsky.json("messages", "show", message_id)["waits"]


def test_a_turn_is_stopped_after_the_response_that_overran_its_budget_and_goes_on_when_raised(
    netsky, model
):
    netsky.start()
    assert netsky.ask("SAY[warm]")["reply"]["body"] == "warm"
    gauge = netsky.json("budgets", "set", "actor", "manager0", "+50")
    assert (gauge["used"], gauge["left"]) == (120, 50)
    sent = netsky.json("send", "manager0", "RUN[true] HANG SAY[slept]")

    def parked():
        shown = netsky.json("actors", "show", "manager0")
        return shown["status"] == "parked" and shown["turn"] is None and shown

    shown = netsky.until(parked)
    assert shown["health_reason"] == (
        "parked: budget: the budget of manager0, 170 tokens, is used up"
    )
    asked = len(model.requests)
    held = netsky.json("send", "manager0", "SAY[late]")
    assert held["held"] == "the budget of manager0, 170 tokens, is used up"
    assert waits(netsky, held["message_id"]) == held["held"]
    why = netsky.until(lambda: waits(netsky, sent["message_id"]))
    assert why == "its turn was stopped by the budget of manager0, 170 tokens"
    (turn, _) = shown["turns"]
    assert turn["status"] == "interrupted"
    (listed,) = netsky.json("budgets", "list")
    assert (listed["used"], listed["left"], len(model.requests)) == (240, 0, asked)

    model.release()
    netsky.json("budgets", "set", "actor", "manager0", "1000000")
    assert netsky.settled(held["input_id"])["status"] == "answered"
    assert netsky.settled(sent["input_id"])["status"] == "answered"


def test_a_limit_of_the_account_pauses_the_fleet_until_its_reset_and_the_turn_goes_on(
    netsky, model
):
    netsky.start()
    assert netsky.ask("SAY[warm]")["reply"]["body"] == "warm"
    sent = netsky.json("send", "manager0", "LIMIT15 SAY[after the reset]")

    def paused():
        return netsky.json("status")["paused"]

    pause = netsky.until(paused)
    assert "Codex's 5 h limit" in pause["reason"]
    assert waits(netsky, sent["message_id"]) == "its turn was ended by Codex's usage limit"
    late = netsky.json("send", "manager0", "SAY[late]")
    assert late["held"] == pause["reason"]
    asked = len(model.requests)
    assert netsky.settled(sent["input_id"])["status"] == "answered"
    assert netsky.settled(late["input_id"])["status"] == "answered"
    assert netsky.json("status")["paused"] is None
    assert len(model.requests) == asked + 2
