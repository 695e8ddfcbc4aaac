-- What waits for a human: told of once, and put away by the owner where it has no other end.

CREATE TABLE attention (
    key TEXT PRIMARY KEY,
    first_at INTEGER NOT NULL,
    told_at INTEGER,
    put_away_at INTEGER
) STRICT, WITHOUT ROWID;
