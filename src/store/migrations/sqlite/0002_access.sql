-- A client changes by compare-and-swap, like a key set; those that were written before have been
-- written once.
ALTER TABLE clients ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

-- Beside the clients, because a use is no change of a client: it has neither a version nor an event.
CREATE TABLE last_uses (
    client TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    credential TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (client, credential)
) STRICT;
