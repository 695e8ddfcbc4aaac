-- Limits in tokens, what was spent of them, and times at which nothing is dispatched to anybody.

CREATE TABLE budgets (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, subject)
) STRICT, WITHOUT ROWID;

-- Usage comes as totals of a thread: what one turn took is its total less that of the turn before.
CREATE TABLE spending (
    thread_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    task_id TEXT,
    at INTEGER NOT NULL,
    total INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (thread_id, turn_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX spending_by_thread ON spending (thread_id, at, turn_id, total);
CREATE INDEX spending_by_actor ON spending (actor_id, tokens);
CREATE INDEX spending_by_task ON spending (task_id, tokens) WHERE task_id IS NOT NULL;
CREATE INDEX spending_by_day ON spending (at, tokens);

INSERT INTO spending (thread_id, turn_id, actor_id, at, total, tokens)
SELECT thread_id, turn_id, actor_id, updated_at, total_tokens,
    CASE WHEN total_tokens >= before THEN total_tokens - before ELSE total_tokens END
FROM (
    SELECT *, coalesce(lag(total_tokens) OVER (
        PARTITION BY thread_id ORDER BY updated_at, turn_id), 0) AS before
    FROM usage WHERE turn_id <> '');

CREATE TABLE pauses (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    resumes_at INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX pauses_open ON pauses (seq) WHERE ended_at IS NULL;

-- Why netsky or the account stopped a turn that is to go on once the reason is gone.
ALTER TABLE turns ADD COLUMN stopped_by TEXT NOT NULL DEFAULT '';
