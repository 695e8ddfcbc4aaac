-- What pruning looks for by age.

CREATE INDEX events_by_age ON events (at);
CREATE INDEX logs_by_age ON logs (at);
