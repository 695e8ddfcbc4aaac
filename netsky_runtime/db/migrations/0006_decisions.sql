-- Who decided what, having seen what, by which rule: a chain that shows when a link was changed.

CREATE TABLE rules (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    cwd TEXT NOT NULL,
    pattern TEXT NOT NULL,
    actors TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    approval_id TEXT NOT NULL DEFAULT '',
    entry_json TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_by_approval ON ledger (approval_id) WHERE approval_id <> '';

ALTER TABLE approvals ADD COLUMN rule_id TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN lost_reason TEXT NOT NULL DEFAULT '';
-- The question that this one repeats, and the input that asked for it.
ALTER TABLE approvals ADD COLUMN repeats_id TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN asked_again_input TEXT NOT NULL DEFAULT '';
CREATE INDEX approvals_repeats ON approvals (repeats_id) WHERE repeats_id <> '';
-- The lost ones that nobody has dealt with: they stay in view.
CREATE INDEX approvals_lost_open ON approvals (number)
    WHERE status = 'lost' AND asked_again_input = '';
-- Which of the lost ones a new question of the same actor repeats.
CREATE INDEX approvals_lost_of ON approvals (actor_id, number) WHERE status = 'lost';
-- Whether it was decided when there was no ledger yet.
ALTER TABLE approvals ADD COLUMN before_ledger INTEGER NOT NULL DEFAULT 0;
UPDATE approvals SET before_ledger = 1 WHERE decided_by <> '';
