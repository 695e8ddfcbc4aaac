"""Invariants 1, 2, 3, 7, 9 and 11: messages, deliveries and inputs, each whole and sent once."""

from __future__ import annotations

from typing import Final

from netsky_runtime.db import rows
from netsky_runtime.db.inputs import COMES_FROM, message_status
from netsky_runtime.invariants.checks import RowCheck
from netsky_runtime.states import InputStatus, delivery_status

_DELIVERY_OF = rows.dump({status.value: delivery_status(status).value for status in InputStatus})
_MESSAGE_OF = rows.dump({status.value: message_status(status).value for status in InputStatus})

_MOVES = rows.words(f"{before} > {to}" for to, sources in COMES_FROM.items() for before in sources)

CHECKS: Final = (
    RowCheck(
        invariant=1,
        name="message_has_delivery",
        about="Every message that was accepted has a delivery.",
        # What a human typed in Codex's own screen was delivered by that human.
        sql="""
            SELECT m.id FROM messages AS m WHERE m.source <> 'codex'
                AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.message_id = m.id)
        """,
        told="Message {id} has no delivery.",
    ),
    RowCheck(
        invariant=1,
        name="delivery_has_input",
        about="Every delivery to an actor has an input of that actor and that message.",
        sql="""
            SELECT d.id, d.sink, d.message_id FROM deliveries AS d
            LEFT JOIN actor_inputs AS i ON i.id = d.input_id
            WHERE d.sink LIKE 'actor:%' AND (i.id IS NULL
                OR d.sink <> 'actor:' || i.actor_id OR i.message_id <> d.message_id)
        """,
        told="Delivery {id} to {sink} has no input of that actor for message {message_id}.",
    ),
    RowCheck(
        invariant=1,
        name="references_hold",
        about="No row names another that does not exist.",
        sql="""
            SELECT "table" || coalesce(':' || rowid, '') AS row_id, parent
            FROM pragma_foreign_key_check
        """,
        told="Row {row_id} names a row of {parent} that does not exist.",
    ),
    RowCheck(
        invariant=1,
        name="fact_stored_once",
        about="Every fact of a thread is stored once.",
        sql="""
            SELECT thread_id, turn_id, item_id, kind, count(*) AS times FROM events
            GROUP BY thread_id, turn_id, item_id, kind HAVING count(*) > 1
        """,
        told="The fact {kind} of item {item_id!r} in turn {turn_id} is stored {times} times.",
    ),
    RowCheck(
        invariant=2,
        name="intent_before_hand",
        about="Nothing was handed to a thread before it was stored that it would be.",
        sql="""
            SELECT id, status FROM actor_inputs
            WHERE (attempts = 0 AND status IN
                    ('handed', 'seen', 'answered', 'interrupted', 'failed'))
                OR (batch_id = '' AND status = 'handed')
        """,
        told="Input {id} is {status}, and no attempt to send it is stored.",
    ),
    RowCheck(
        invariant=2,
        name="seen_somewhere",
        about="What was seen was seen in a turn of a thread.",
        sql="""
            SELECT id, status FROM actor_inputs
            WHERE status IN ('seen', 'answered') AND (thread_id = '' OR turn_id = '')
        """,
        told="Input {id} is {status}, and no turn shows it.",
    ),
    RowCheck(
        invariant=2,
        name="answer_exists",
        about="Every answered input has an answer of its own actor.",
        sql="""
            SELECT i.id, i.reply_id FROM actor_inputs AS i
            LEFT JOIN messages AS m ON m.id = i.reply_id
            WHERE (i.status = 'answered' AND i.recovers_json = '[]' AND i.reply_id IS NULL)
                OR (i.reply_id IS NOT NULL AND (m.id IS NULL OR m.sender <> i.actor_id))
        """,
        told="Input {id} is answered by {reply_id}, which is no message of its actor.",
    ),
    RowCheck(
        invariant=2,
        name="answered_once",
        about="Every reply names the inputs that it answers, and no input has two.",
        sql="""
            SELECT m.id, named.value AS input_id FROM messages AS m
            JOIN json_each(m.metadata_json, '$.answers') AS named
            LEFT JOIN actor_inputs AS i ON i.id = named.value
            WHERE m.kind IN ('reply', 'report') AND (i.id IS NULL OR i.reply_id IS NOT m.id)
        """,
        told="Message {id} answers input {input_id}, which has another answer or does not exist.",
    ),
    RowCheck(
        invariant=2,
        name="recovery_names_inputs",
        about="Every recovery answers for inputs of its own actor.",
        sql="""
            SELECT r.id, named.value AS input_id FROM actor_inputs AS r
            JOIN json_each(r.recovers_json) AS named
            LEFT JOIN actor_inputs AS i ON i.id = named.value
            WHERE r.recovers_json <> '[]' AND (i.id IS NULL OR i.actor_id <> r.actor_id)
        """,
        told="Recovery {id} answers for {input_id}, which is no input of its actor.",
    ),
    RowCheck(
        invariant=2,
        name="recovered_once",
        about="No two recoveries are under way for the same input.",
        sql="""
            SELECT named.value AS input_id, count(*) AS times FROM actor_inputs AS r
            JOIN json_each(r.recovers_json) AS named
            WHERE r.recovers_json <> '[]' AND r.status IN ('queued', 'handed', 'seen')
            GROUP BY named.value HAVING count(*) > 1
        """,
        told="Input {input_id} is answered for by {times} recoveries at once.",
    ),
    RowCheck(
        invariant=3,
        name="delivery_follows_input",
        about="Every delivery is in the one state that its input's makes of it.",
        sql="""
            SELECT d.id, d.status, i.id AS input_id, i.status AS input_status
            FROM deliveries AS d JOIN actor_inputs AS i ON i.id = d.input_id
            WHERE d.status IS NOT json_extract(?, '$.' || i.status)
        """,
        parameters=(_DELIVERY_OF,),
        told="Delivery {id} is {status}, and its input {input_id} is {input_status}.",
    ),
    RowCheck(
        invariant=3,
        name="moved_by_the_table",
        about="Every input has gone only from states to states that the table of moves allows.",
        sql="""
            SELECT input_id, before, status FROM (
                SELECT input_id, status,
                    lag(status) OVER (PARTITION BY input_id ORDER BY seq) AS before
                FROM input_steps)
            WHERE before <> status
                AND before || ' > ' || status NOT IN (SELECT value FROM json_each(?))
        """,
        parameters=(_MOVES,),
        told="Input {input_id} was {before} and became {status}.",
    ),
    RowCheck(
        invariant=3,
        name="last_step_is_the_state",
        about="The last step that is kept of an input is the state it is in.",
        sql="""
            SELECT i.id, i.status FROM actor_inputs AS i WHERE i.status IS NOT (
                SELECT s.status FROM input_steps AS s WHERE s.input_id = i.id
                ORDER BY s.seq DESC LIMIT 1)
        """,
        told="Input {id} is {status}, and its steps tell of another state.",
    ),
    RowCheck(
        invariant=3,
        name="message_follows_input",
        about="Every message to an actor is in the state that its input's makes of it.",
        sql="""
            SELECT m.id, m.status, i.id AS input_id, i.status AS input_status
            FROM actor_inputs AS i JOIN messages AS m ON m.id = i.message_id
            WHERE m.status IS NOT json_extract(?, '$.' || i.status)
        """,
        parameters=(_MESSAGE_OF,),
        told="Message {id} is {status}, and its input {input_id} is {input_status}.",
    ),
    RowCheck(
        invariant=3,
        name="one_delivery",
        about="Every input has exactly one delivery.",
        sql="""
            SELECT i.id, count(d.id) AS times FROM actor_inputs AS i
            LEFT JOIN deliveries AS d ON d.input_id = i.id GROUP BY i.id HAVING count(d.id) <> 1
        """,
        told="Input {id} has {times} deliveries.",
    ),
    RowCheck(
        invariant=3,
        name="pending_has_owner",
        about="Whatever is pending waits for an actor that is at work, or for the file bus.",
        sql="""
            SELECT d.id, d.status, d.sink FROM deliveries AS d
            LEFT JOIN actor_inputs AS i ON i.id = d.input_id
            LEFT JOIN actors AS a ON a.id = i.actor_id
            WHERE d.status IN ('pending', 'handed') AND d.sink NOT LIKE 'bus:%'
                AND (a.id IS NULL OR a.status = 'stopped')
        """,
        told="Delivery {id} to {sink} is {status}, and nobody will see to it.",
    ),
    RowCheck(
        invariant=7,
        name="netsky_says_little",
        about="netsky itself writes to threads only to recover a cut turn or to report.",
        sql="""
            SELECT i.id, m.kind, i.actor_id FROM messages AS m
            JOIN actor_inputs AS i ON i.message_id = m.id
            WHERE m.source = 'daemon' AND m.kind NOT IN ('recovery', 'report')
        """,
        told="netsky itself gave {actor_id} the input {id} of kind {kind}: that costs a turn.",
    ),
    RowCheck(
        invariant=9,
        name="no_wait_for_a_past_turn",
        about="No input waits for a turn that is over, unless a recovery answers for it.",
        sql="""
            SELECT i.id, i.turn_id FROM actor_inputs AS i
            JOIN turns AS t ON t.thread_id = i.thread_id AND t.id = i.turn_id
            WHERE i.status = 'seen' AND t.status <> 'in_progress' AND NOT EXISTS (
                SELECT 1 FROM actor_inputs AS r JOIN json_each(r.recovers_json) AS named
                WHERE r.actor_id = i.actor_id AND r.recovers_json <> '[]'
                    AND named.value = i.id
                    AND r.status IN ('queued', 'handed', 'seen', 'uncertain'))
        """,
        told="Input {id} was seen in turn {turn_id}, which is over: nothing will answer it.",
    ),
    RowCheck(
        invariant=11,
        name="envelope_is_one",
        about="Every envelope has its own two marks and no other.",
        sql="""
            SELECT id FROM actor_inputs WHERE envelope <> '' AND (
                length(envelope) - length(replace(envelope, '<', '')) <> 2
                OR envelope NOT LIKE '<netsky tag="%" input="' || id || '">%'
                OR envelope NOT LIKE '%</netsky tag="%" input="' || id || '">')
        """,
        told="The envelope of input {id} carries marks that are not its own.",
    ),
)
