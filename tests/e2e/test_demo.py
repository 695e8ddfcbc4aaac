"""The demo as somebody who has just cloned netsky sees it."""

OBJECTIVE = "Make the parser faster"


def test_an_objective_becomes_work_a_question_and_a_report(demo):
    room = demo.open("demo")
    room.until("hosting", "to manager0")
    room.say(OBJECTIVE)
    room.until("worker1", "worker2", "t1")
    room.until("1 approval")
    room.decide("y")
    until_reported(room)
    room.press("ctrl+q")
    leave_dialog_or_exit(room)
    room.leaves()
    assert demo.empty()
    assert not list(demo.root.glob("netsky-demo-*"))


def until_reported(room):
    """Wait until manager0 has told the owner what a worker reported."""
    room.until("manager0 → owner", "is done", seconds=90)


def leave_dialog_or_exit(room):
    """Answer what is asked while workers still work."""
    while room.pump():
        if "Leave the room?" in room.text:
            room.press("s")
            return
