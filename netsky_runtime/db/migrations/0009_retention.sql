-- How far events and logs were pruned, so that whoever asks for older ones is told they are gone.

CREATE TABLE pruned (
    family TEXT PRIMARY KEY,
    up_to INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
