-- How often actors were brought back: more often than their budget in a window parks them.

CREATE TABLE respawns (
    seq INTEGER PRIMARY KEY,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX respawns_by_actor ON respawns (actor_id, at);

-- A dependency may come late: whether a task began too early is told by this.
ALTER TABLE task_dependencies ADD COLUMN added_at INTEGER NOT NULL DEFAULT 0;
