-- One row an issuer, one row a key, one row an event. The documents carry their own format
-- number and are parsed, not trusted; the columns beside them are what queries and uniqueness need.
-- Names are compared byte by byte, whatever the database's collation is.

CREATE TABLE issuers (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    path TEXT COLLATE "C" NOT NULL CONSTRAINT issuers_path UNIQUE,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE keys (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issuer TEXT COLLATE "C" NOT NULL REFERENCES issuers (name),
    kid TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    sealed BYTEA,
    UNIQUE (issuer, kid)
);

-- The numbers come from audit_head, not from a sequence of the database's: that one would leave
-- gaps where a commit is refused, and would not grow in the order of the commits.
CREATE TABLE events (
    sequence BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    issuer TEXT COLLATE "C",
    document TEXT NOT NULL,
    hash BYTEA NOT NULL
);

CREATE INDEX events_by_issuer ON events (issuer, sequence);

-- Where the log ends. Every commit locks this row first: one commit follows another.
CREATE TABLE audit_head (
    singleton BIGINT NOT NULL PRIMARY KEY CHECK (singleton = 1),
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL
);

CREATE TABLE clients (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE approvals (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
);

-- Beside the clients, because a use is no change of a client: it has neither a version nor an event.
CREATE TABLE last_uses (
    client TEXT COLLATE "C" NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    credential TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (client, credential)
);

CREATE TABLE settings (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- What each replica told last, stamped with the database's clock.
CREATE TABLE replicas (
    replica TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    through BIGINT NOT NULL,
    document TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL
);
