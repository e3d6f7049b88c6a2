-- Each event carries the hash of itself and of everything before it, and the head says where the
-- log ends. Events that are here already have no hash yet: they are chained, all of them in one
-- transaction, when the file is opened.
ALTER TABLE events ADD COLUMN hash BLOB;

CREATE TABLE audit_head (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
