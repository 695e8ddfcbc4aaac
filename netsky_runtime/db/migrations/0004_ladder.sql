-- What was done about turns that hung: every rung, with its evidence and what came of it.

CREATE TABLE rungs (
    seq INTEGER PRIMARY KEY,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    rung TEXT NOT NULL,
    evidence TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX rungs_by_actor ON rungs (actor_id, at);
