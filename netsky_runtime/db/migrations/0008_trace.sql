-- Every step of an input, with its time and how it is known: written by whoever changes its row.

CREATE TABLE input_steps (
    seq INTEGER PRIMARY KEY,
    input_id TEXT NOT NULL,
    status TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX input_steps_by_input ON input_steps (input_id, seq);
