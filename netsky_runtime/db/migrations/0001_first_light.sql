-- The spine. Times are integer milliseconds since the epoch; *_json columns hold JSON text.

CREATE TABLE daemon (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE actors (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    manager_id TEXT REFERENCES actors (id),
    objective TEXT NOT NULL DEFAULT '',
    cwd TEXT NOT NULL DEFAULT '',
    park_reason TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX actors_by_age ON actors (created_at, id);
CREATE INDEX actors_live ON actors (created_at, id) WHERE status IN ('active', 'parked');

CREATE TABLE engines (
    id TEXT PRIMARY KEY,
    runtime TEXT NOT NULL,
    state TEXT NOT NULL,
    pid INTEGER NOT NULL,
    pid_started REAL NOT NULL,
    binary TEXT NOT NULL,
    version TEXT NOT NULL,
    codex_home TEXT NOT NULL,
    socket TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    runtime TEXT NOT NULL,
    state TEXT NOT NULL,
    thread_id TEXT NOT NULL DEFAULT '',
    engine_id TEXT NOT NULL DEFAULT '',
    cwd TEXT NOT NULL,
    model TEXT NOT NULL DEFAULT '',
    effort TEXT NOT NULL DEFAULT '',
    sandbox TEXT NOT NULL,
    approval_policy TEXT NOT NULL,
    config_json TEXT NOT NULL DEFAULT '{}',
    tag TEXT NOT NULL,
    differences TEXT NOT NULL DEFAULT '',
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sessions_by_actor ON sessions (actor_id, started_at);
-- At most one session of an actor is not over.
CREATE UNIQUE INDEX sessions_current ON sessions (actor_id) WHERE ended_at IS NULL;

CREATE TABLE threads (
    id TEXT PRIMARY KEY,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    session_id TEXT NOT NULL REFERENCES sessions (id),
    parent_id TEXT NOT NULL DEFAULT '',
    runtime TEXT NOT NULL,
    resync INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX threads_by_actor ON threads (actor_id);

CREATE TABLE turns (
    thread_id TEXT NOT NULL,
    id TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    completed_at INTEGER,
    error TEXT NOT NULL DEFAULT '',
    final_text TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (thread_id, id)
) STRICT;
CREATE INDEX turns_by_actor ON turns (actor_id, started_at);
CREATE INDEX turns_running ON turns (actor_id) WHERE status = 'in_progress';

CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE,
    title TEXT NOT NULL,
    body TEXT NOT NULL DEFAULT '',
    priority TEXT NOT NULL,
    status TEXT NOT NULL,
    owner_id TEXT REFERENCES actors (id),
    manager_id TEXT REFERENCES actors (id),
    estimate_minutes INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    closed_at INTEGER
) STRICT;
CREATE INDEX tasks_by_status ON tasks (status, priority, number);
CREATE INDEX tasks_open ON tasks (priority, number)
    WHERE status IN ('open', 'blocked', 'in_progress', 'reported');
CREATE INDEX tasks_closed ON tasks (closed_at, number) WHERE closed_at IS NOT NULL;
CREATE INDEX tasks_by_owner ON tasks (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE task_dependencies (
    task_id TEXT NOT NULL REFERENCES tasks (id),
    depends_on_id TEXT NOT NULL REFERENCES tasks (id),
    PRIMARY KEY (task_id, depends_on_id),
    CHECK (task_id <> depends_on_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_dependents ON task_dependencies (depends_on_id);

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    in_reply_to TEXT,
    task_id TEXT,
    thread_id TEXT NOT NULL DEFAULT '',
    turn_id TEXT NOT NULL DEFAULT '',
    metadata_json TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    read_at INTEGER
) STRICT;
CREATE INDEX messages_by_target ON messages (target, seq);
CREATE INDEX messages_by_sender ON messages (sender, seq);
CREATE INDEX messages_by_task ON messages (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX messages_unread ON messages (seq) WHERE target = 'owner' AND read_at IS NULL;
CREATE INDEX messages_questions ON messages (sender, seq)
    WHERE kind = 'question' AND status = 'routed';

CREATE TABLE actor_inputs (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    message_id TEXT NOT NULL REFERENCES messages (id),
    mode TEXT NOT NULL,
    status TEXT NOT NULL,
    thread_id TEXT NOT NULL DEFAULT '',
    batch_id TEXT NOT NULL DEFAULT '',
    envelope TEXT NOT NULL DEFAULT '',
    turn_id TEXT NOT NULL DEFAULT '',
    recovers_json TEXT NOT NULL DEFAULT '[]',
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    handed_at INTEGER,
    seen_at INTEGER,
    settled_at INTEGER,
    reply_id TEXT
) STRICT;
CREATE INDEX actor_inputs_open ON actor_inputs (actor_id, seq)
    WHERE status IN ('queued', 'handed', 'seen');
CREATE INDEX actor_inputs_uncertain ON actor_inputs (actor_id, seq) WHERE status = 'uncertain';
CREATE INDEX actor_inputs_by_message ON actor_inputs (message_id);
CREATE INDEX actor_inputs_by_turn ON actor_inputs (thread_id, turn_id) WHERE turn_id <> '';
CREATE INDEX actor_inputs_recoveries ON actor_inputs (actor_id) WHERE recovers_json <> '[]';

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    message_id TEXT NOT NULL REFERENCES messages (id),
    sink TEXT NOT NULL,
    input_id TEXT REFERENCES actor_inputs (id),
    status TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_by_message ON deliveries (message_id);
CREATE INDEX deliveries_by_input ON deliveries (input_id) WHERE input_id IS NOT NULL;

CREATE TABLE tool_calls (
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments_json TEXT NOT NULL,
    success INTEGER NOT NULL,
    text TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (thread_id, turn_id, call_id)
) STRICT;

CREATE TABLE approvals (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    engine_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    actor_id TEXT NOT NULL REFERENCES actors (id),
    kind TEXT NOT NULL,
    command TEXT NOT NULL DEFAULT '',
    cwd TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    patch TEXT NOT NULL DEFAULT '',
    questions_json TEXT NOT NULL DEFAULT '[]',
    available_decisions_json TEXT NOT NULL DEFAULT '[]',
    raw_json TEXT NOT NULL DEFAULT '{}',
    status TEXT NOT NULL,
    answer_json TEXT,
    decided_by TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    decided_at INTEGER,
    sent_at INTEGER,
    UNIQUE (engine_id, request_id)
) STRICT;
CREATE INDEX approvals_pending ON approvals (status) WHERE status = 'pending';
CREATE INDEX approvals_pending_of ON approvals (actor_id, created_at) WHERE status = 'pending';
CREATE INDEX approvals_by_turn ON approvals (thread_id, turn_id);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    data_json TEXT NOT NULL,
    UNIQUE (thread_id, turn_id, item_id, kind)
) STRICT;
CREATE INDEX events_by_actor ON events (actor_id, seq);

CREATE TABLE usage (
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL,
    context_window INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (thread_id, turn_id)
) STRICT;
CREATE INDEX usage_by_thread ON usage (thread_id, updated_at, total_tokens);

CREATE TABLE notes (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    author TEXT NOT NULL,
    task_id TEXT REFERENCES tasks (id),
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX notes_by_task ON notes (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE logs (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    level TEXT NOT NULL,
    component TEXT NOT NULL,
    message TEXT NOT NULL,
    fields_json TEXT NOT NULL DEFAULT '{}'
) STRICT;

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE self_update_runs (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    detail_json TEXT NOT NULL DEFAULT '{}',
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    error TEXT NOT NULL DEFAULT ''
) STRICT;
