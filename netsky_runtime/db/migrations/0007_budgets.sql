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
    place INTEGER NOT NULL,
    total INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (thread_id, turn_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX spending_by_thread ON spending (thread_id, place, turn_id, total);
CREATE INDEX spending_by_day ON spending (at, tokens);

INSERT INTO spending (thread_id, turn_id, actor_id, at, place, total, tokens)
SELECT thread_id, turn_id, actor_id, updated_at, updated_at, total_tokens,
    CASE WHEN total_tokens >= before THEN total_tokens - before ELSE total_tokens END
FROM (
    SELECT *, coalesce(lag(total_tokens) OVER (
        PARTITION BY thread_id ORDER BY updated_at, turn_id), 0) AS before
    FROM usage WHERE turn_id <> '');

-- What that adds up to: asked before every dispatch, so it is one row. Shares grow by updates only.
CREATE TABLE spent (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (scope, subject)
) STRICT, WITHOUT ROWID;

INSERT INTO spent SELECT 'actor', actor_id, sum(tokens) FROM spending GROUP BY actor_id;

CREATE TRIGGER share_changed AFTER UPDATE OF tokens ON spending WHEN new.tokens <> old.tokens BEGIN
    INSERT INTO spent VALUES ('actor', new.actor_id, new.tokens - old.tokens)
    ON CONFLICT (scope, subject) DO UPDATE SET tokens = tokens + excluded.tokens;
    INSERT INTO spent SELECT 'task', new.task_id, new.tokens - old.tokens
        WHERE new.task_id IS NOT NULL
    ON CONFLICT (scope, subject) DO UPDATE SET tokens = tokens + excluded.tokens;
END;

CREATE TABLE pauses (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    resumes_at INTEGER,
    ended_at INTEGER,
    over_at INTEGER GENERATED ALWAYS AS
        (min(coalesce(ended_at, resumes_at), coalesce(resumes_at, ended_at))) VIRTUAL
) STRICT;
CREATE INDEX pauses_open ON pauses (coalesce(resumes_at, 9223372036854775807))
    WHERE ended_at IS NULL;
CREATE INDEX pauses_over ON pauses (over_at);

-- Why netsky or the account stopped a turn that is to go on once the reason is gone.
ALTER TABLE turns ADD COLUMN stopped_by TEXT NOT NULL DEFAULT '';
