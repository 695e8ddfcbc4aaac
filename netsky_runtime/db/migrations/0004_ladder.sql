-- What was done about turns that hung: every rung, with its evidence and what came of it.

CREATE TABLE rungs (
    seq INTEGER PRIMARY KEY,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    rung TEXT NOT NULL,
    evidence TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL,
    -- Since when Codex may have been told to stop the turn.
    said_at INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX rungs_by_actor ON rungs (actor_id, at);
CREATE INDEX rungs_by_turn ON rungs (thread_id, turn_id, seq);
CREATE INDEX rungs_open ON rungs (seq) WHERE ended_at IS NULL;

-- The last sign of life of an actor's turn that is no fact: live text, or what history showed.

CREATE TABLE pulses (
    actor_id TEXT PRIMARY KEY REFERENCES actors (id),
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    evidence TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- Since when a session's thread cannot be attached, once it is long enough that a human is told.

ALTER TABLE sessions ADD COLUMN unattached_at INTEGER;
CREATE INDEX sessions_unattached ON sessions (runtime, actor_id)
    WHERE ended_at IS NULL AND unattached_at IS NOT NULL;
