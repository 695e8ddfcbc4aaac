-- How far events and logs were pruned, so that whoever asks for older ones is told they are gone.

CREATE TABLE pruned (
    family TEXT PRIMARY KEY,
    up_to INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- Written to find out whether a disk that took nothing takes something again.
CREATE TABLE probes (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    ballast BLOB NOT NULL
) STRICT;
