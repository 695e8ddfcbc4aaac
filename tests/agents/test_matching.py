from netsky_runtime.agents import matching
from netsky_runtime.codex.base import HistoricItem, HistoricTurn
from netsky_runtime.records import ActorInput
from netsky_runtime.states import InputMode, InputStatus, TurnStatus


def sent(input_id: str, batch_id: str) -> ActorInput:
    return ActorInput(
        id=input_id,
        actor_id="worker1",
        message_id="m1",
        mode=InputMode.QUEUE,
        status=InputStatus.HANDED,
        batch_id=batch_id,
        created_at=1,
    )


def turn(turn_id: str, *items: HistoricItem) -> HistoricTurn:
    return HistoricTurn(
        id=turn_id,
        status=TurnStatus.COMPLETED,
        started_at=1,
        completed_at=2,
        error="",
        items=items,
    )


def user(text: str, client_id: str | None = None) -> HistoricItem:
    data = {"text": text, "client_id": client_id}
    return HistoricItem(id="u", type="user_message", data=data)


def words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split() if word.startswith("i-"))


def test_a_batch_is_found_by_its_client_id():
    history = [turn("t1", user("whatever", "b-1"))]
    inputs = [sent("i-1", "b-1"), sent("i-2", "b-1"), sent("i-3", "b-2")]
    found = matching.find(inputs, history, input_ids=words)
    assert {input_id: t.id for input_id, t in found.items()} == {"i-1": "t1", "i-2": "t1"}


def test_an_input_is_found_by_its_id_in_the_text_where_history_keeps_no_client_ids():
    history = [turn("t1", user("nothing of ours")), turn("t2", user("input i-1 here"))]
    found = matching.find([sent("i-1", "b-1")], history, input_ids=words)
    assert found["i-1"].id == "t2"


def test_an_agent_that_repeats_an_input_id_has_not_consumed_it():
    echo = HistoricItem(id="a", type="agent_message", data={"text": "you said i-1"})
    assert matching.find([sent("i-1", "b-1")], [turn("t1", echo)], input_ids=words) == {}


def test_a_message_without_a_client_id_matches_no_input_without_a_batch():
    history = [turn("t1", user("typed by a human"))]
    assert matching.find([sent("i-1", "")], history, input_ids=words) == {}
