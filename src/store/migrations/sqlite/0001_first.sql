-- One row an issuer, one row a key, one row an event. The documents carry their own format
-- number and are parsed, not trusted; the columns beside them are what queries and uniqueness need.

CREATE TABLE issuers (
    name TEXT NOT NULL PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;

CREATE TABLE keys (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer TEXT NOT NULL REFERENCES issuers (name),
    kid TEXT NOT NULL,
    document TEXT NOT NULL,
    sealed BLOB,
    UNIQUE (issuer, kid)
) STRICT;

CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    issuer TEXT,
    document TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_issuer ON events (issuer, sequence);

CREATE TABLE clients (
    id TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
