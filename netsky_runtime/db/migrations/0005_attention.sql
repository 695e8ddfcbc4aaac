-- What waits for a human: told of once, and put away by the owner where it has no other end.

CREATE TABLE attention (
    key TEXT PRIMARY KEY,
    first_at INTEGER NOT NULL,
    told_at INTEGER,
    put_away_at INTEGER
) STRICT, WITHOUT ROWID;

-- Files of the bus that nobody was given, as they lie in the poison folders.
CREATE TABLE bus_poison (
    address TEXT NOT NULL,
    file TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (address, file)
) STRICT, WITHOUT ROWID;

CREATE INDEX actors_parked ON actors (updated_at) WHERE status = 'parked';
CREATE INDEX sessions_blocked ON sessions (actor_id) WHERE ended_at IS NULL AND blocked <> '';
CREATE INDEX actor_inputs_not_taken ON actor_inputs (seq)
    WHERE status = 'failed' OR (status = 'cancelled' AND reply_id IS NOT NULL);

-- What had come to nothing before there was a queue for it is history, not news.
INSERT INTO attention (key, first_at, put_away_at)
SELECT 'failed:' || id, created_at, created_at FROM actor_inputs
WHERE status = 'failed' OR (status = 'cancelled' AND reply_id IS NOT NULL);
INSERT INTO attention (key, first_at, put_away_at)
SELECT 'lost:' || id, created_at, created_at FROM approvals WHERE status = 'lost';
