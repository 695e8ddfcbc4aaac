-- Limits in tokens, and times at which nothing is dispatched to anybody.

CREATE TABLE budgets (
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE pauses (
    seq INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    resumes_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
