-- Every step of an input with its time, written by the change itself: nobody can forget one.

CREATE TABLE input_steps (
    seq INTEGER PRIMARY KEY,
    input_id TEXT NOT NULL,
    status TEXT NOT NULL,
    batch_id TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX input_steps_by_input ON input_steps (input_id, seq);

-- What inputs from before this version still tell of their steps.
INSERT INTO input_steps (input_id, status, reason, at)
SELECT id, status, reason, at FROM (
    SELECT seq, 0 AS step, id, 'queued' AS status, '' AS reason, created_at AS at
        FROM actor_inputs
    UNION ALL SELECT seq, 1, id, 'handed', '', handed_at FROM actor_inputs
        WHERE handed_at IS NOT NULL
    UNION ALL SELECT seq, 2, id, 'seen', '', seen_at FROM actor_inputs WHERE seen_at IS NOT NULL
    UNION ALL SELECT seq, 3, id, status, reason, settled_at FROM actor_inputs
        WHERE settled_at IS NOT NULL)
ORDER BY seq, step;

CREATE TRIGGER input_stored AFTER INSERT ON actor_inputs BEGIN
    INSERT INTO input_steps (input_id, status, reason, at)
    VALUES (new.id, new.status, new.reason, new.created_at);
END;

-- An attempt and a return to the queue have no column for their time: SQLite's clock tells it.
CREATE TRIGGER input_attempted AFTER UPDATE OF batch_id ON actor_inputs
WHEN new.batch_id <> '' AND new.batch_id <> old.batch_id BEGIN
    INSERT INTO input_steps (input_id, status, batch_id, at)
    VALUES (new.id, new.status, new.batch_id,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;

CREATE TRIGGER input_moved AFTER UPDATE OF status, batch_id ON actor_inputs
WHEN new.status <> old.status OR (new.status = 'queued' AND new.batch_id = '' AND old.batch_id <> '')
BEGIN
    INSERT INTO input_steps (input_id, status, batch_id, reason, at)
    VALUES (new.id, new.status, new.batch_id, new.reason, coalesce(
        CASE new.status
            WHEN 'queued' THEN NULL
            WHEN 'handed' THEN new.handed_at
            WHEN 'seen' THEN CASE WHEN old.seen_at IS NULL THEN new.seen_at END
            ELSE new.settled_at
        END,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)));
END;

-- The ways from a thread to what it heard, from a turn to what was said in it and to its own row,
-- and from a message to its answers.
CREATE INDEX actor_inputs_by_thread ON actor_inputs (thread_id, seq) WHERE thread_id <> '';
CREATE INDEX messages_by_turn ON messages (thread_id, turn_id) WHERE turn_id <> '';
CREATE INDEX messages_by_answered ON messages (in_reply_to) WHERE in_reply_to IS NOT NULL;
CREATE INDEX turns_by_id ON turns (id);

-- Which turns have started or changed a task by a tool.
CREATE TABLE task_turns (
    task_id TEXT NOT NULL REFERENCES tasks (id),
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    PRIMARY KEY (task_id, thread_id, turn_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_turns_by_turn ON task_turns (thread_id, turn_id);
