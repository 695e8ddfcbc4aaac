-- More doors to Codex: which tools a thread has, what blocks a pane, what a session continues.

ALTER TABLE sessions ADD COLUMN tools_door TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN token TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN previous_thread_id TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN blocked TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN blocked_at INTEGER;
-- Threads made before this were made by app-server, which carries tool calls itself.
UPDATE sessions SET tools_door = 'dynamic' WHERE thread_id <> '';
CREATE INDEX sessions_by_token ON sessions (token) WHERE token <> '';

-- Envelopes taken from the file bus: each makes one message, and is answered by one envelope.
CREATE TABLE bus_envelopes (
    actor_id TEXT NOT NULL REFERENCES actors (id),
    key TEXT NOT NULL,
    file TEXT NOT NULL,
    message_id TEXT NOT NULL REFERENCES messages (id),
    sender TEXT NOT NULL,
    envelope_id TEXT NOT NULL DEFAULT '',
    thread TEXT NOT NULL DEFAULT '',
    swarm TEXT NOT NULL DEFAULT '',
    requires_ack INTEGER NOT NULL DEFAULT 0,
    overdue TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    answered_at INTEGER,
    PRIMARY KEY (actor_id, key)
) STRICT;
CREATE INDEX bus_envelopes_open ON bus_envelopes (created_at) WHERE answered_at IS NULL;
CREATE INDEX bus_envelopes_by_id ON bus_envelopes (actor_id, sender, envelope_id)
    WHERE envelope_id <> '';
CREATE INDEX bus_envelopes_by_message ON bus_envelopes (message_id);

-- What a handshake with a binary has shown; one that has changed is asked again.
CREATE TABLE doors (
    binary TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    door TEXT NOT NULL,
    open INTEGER NOT NULL,
    version TEXT NOT NULL DEFAULT '',
    milliseconds INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    tried_at INTEGER NOT NULL,
    PRIMARY KEY (binary, door)
) STRICT;
