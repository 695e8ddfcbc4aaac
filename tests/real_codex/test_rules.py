"""Rules and the ledger on the real Codex, whose commands come wrapped in a shell."""

import os
import signal


def test_a_rule_answers_what_it_matches_and_holds_what_has_an_operator(netsky):
    netsky.start()
    netsky.json(
        "rules", "add", "--cwd", str(netsky.work), "--allow", "touch *", "--for", "managers"
    )
    answered = netsky.ask(f"ESC[touch {netsky.work}/made] SAY[done]")
    assert answered["reply"]["body"] == "done"
    assert (netsky.work / "made").exists()
    (by_rule,) = netsky.json("approvals", "list", "--all")
    assert (by_rule["status"], by_rule["rule_id"]) == ("accepted", "r1")
    assert by_rule["decided_by"] == "rule r1"
    assert by_rule["sent_at"]

    sent = netsky.send(f"ESC[touch {netsky.work}/one && touch {netsky.work}/two] SAY[over]")
    (held,) = netsky.pending()
    assert (held["status"], held["rule_id"]) == ("pending", "")
    netsky.json("approvals", "decide", held["id"], "decline")
    netsky.settled(sent)
    assert not (netsky.work / "one").exists()

    netsky.json("rules", "revoke", "r1")
    sent = netsky.send(f"ESC[touch {netsky.work}/three] SAY[over]")
    (asked,) = netsky.pending()
    assert asked["rule_id"] == ""
    netsky.json("approvals", "decide", asked["id"], "decline")
    netsky.settled(sent)

    kinds = [entry["kind"] for entry in netsky.json("ledger", "list")]
    assert kinds == ["rule_added", "decided", "decided", "rule_revoked", "decided"]
    assert netsky.json("ledger", "verify")["whole"]


def test_an_approval_whose_engine_was_killed_names_what_took_its_place(netsky):
    netsky.start()
    netsky.send(f"ESC[touch {netsky.work}/made] SAY[done]")
    (asked,) = netsky.pending()
    os.killpg(netsky.engine().pid, signal.SIGKILL)

    def again():
        found = netsky.json("approvals", "list")
        return [each for each in found if each["status"] == "pending" and each["repeats_id"]]

    (heir,) = netsky.until(again)  # its recovered turn asks by itself
    lost = netsky.json("approvals", "show", asked["id"])
    assert (lost["status"], lost["successor_id"]) == ("lost", heir["id"])
    assert lost["lost_reason"]
    refused = netsky.run("approvals", "ask-again", asked["id"])
    assert refused.returncode == 1
    assert heir["id"] in refused.stderr
    netsky.json("approvals", "decide", heir["id"], "decline")


def test_a_question_whose_turn_is_interrupted_is_cancelled_and_not_answered_elsewhere(netsky):
    netsky.start()
    sent = netsky.send(f"ESC[touch {netsky.work}/made] SAY[done]")
    (asked,) = netsky.pending()
    netsky.run("actors", "interrupt", "manager0")
    netsky.settled(sent)
    row = netsky.json("approvals", "show", asked["id"])
    assert (row["status"], row["decided_by"]) == ("cancelled", "")
