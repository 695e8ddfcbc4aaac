from netsky_runtime.agents.live import TEXT_LIMIT, LiveState
from netsky_runtime.codex.events import CodexEvent, EventKind


def delta(text: str, *, item: str = "msg1", turn: str = "t1", stream: str = "agent_message"):
    data = {"stream": stream, "text": text}
    return CodexEvent(EventKind.DELTA, "th", 1, turn_id=turn, item_id=item, data=data)


def test_fragments_of_one_item_become_one_text():
    live = LiveState()
    for part in ("Hel", "lo"):
        live.fold("worker1", delta(part))
    (item,) = live.snapshot("worker1")["items"]
    assert item == {"item_id": "msg1", "stream": "agent_message", "text": "Hello"}


def test_a_finished_item_leaves_the_live_text():
    live = LiveState()
    live.fold("worker1", delta("Hello"))
    live.fold("worker1", CodexEvent(EventKind.ITEM_COMPLETED, "th", 2, "t1", "msg1", {}))
    assert live.snapshot("worker1")["items"] == []


def test_the_end_of_a_turn_clears_what_was_unfinished():
    live = LiveState()
    live.fold("worker1", delta("Hello"))
    live.fold("worker1", CodexEvent(EventKind.TURN_COMPLETED, "th", 2, "t1"))
    assert live.snapshot("worker1")["items"] == []


def test_a_new_turn_starts_with_a_clean_slate():
    live = LiveState()
    live.fold("worker1", delta("old"))
    live.fold("worker1", delta("new", turn="t2", item="msg2"))
    assert [item["text"] for item in live.snapshot("worker1")["items"]] == ["new"]


def test_only_the_tail_of_a_very_long_text_is_kept():
    live = LiveState()
    live.fold("worker1", delta("a" * TEXT_LIMIT))
    live.fold("worker1", delta("end"))
    (item,) = live.snapshot("worker1")["items"]
    assert len(item["text"]) == TEXT_LIMIT
    assert item["text"].endswith("aend")


def test_every_change_is_told_once_and_raises_the_revision():
    live = LiveState()
    told: list[str] = []
    live.on_change(told.append)
    live.fold("worker1", delta("a"))
    before = live.revision("worker1")
    live.fold("worker1", CodexEvent(EventKind.WARNING, "th", 2))
    assert live.revision("worker1") == before
    live.fold("worker1", delta("b"))
    assert live.revision("worker1") > before
    assert told == ["worker1", "worker1"]
