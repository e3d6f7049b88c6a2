-- One table for every kind of record, with a token that no two states of a record share. What is
-- final is never written again; a key that was revoked is. Old builds refuse a database that has
-- this table, and those that still run cannot write heartbeats any more: their leases end.
CREATE TABLE records (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    token BYTEA NOT NULL,
    document TEXT NOT NULL,
    sealed BYTEA,
    unique_text TEXT COLLATE "C",
    is_final BOOLEAN NOT NULL,
    UNIQUE (kind, owner, id),
    CONSTRAINT records_unique_text UNIQUE (kind, unique_text)
);

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'setting', '', name, 1, decode(repeat('00', 16), 'hex'), '', value, NULL, false
FROM settings WHERE name <> 'max-staleness' ORDER BY name;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'issuer', '', name, version, decode(repeat('00', 16), 'hex'), document, NULL, path, false
FROM issuers ORDER BY name;

-- A document that is no JSON has been altered; it comes along as it is. An escaped NUL is JSON, and
-- PostgreSQL refuses to parse it: a reason may have one.
CREATE FUNCTION pg_temp.member(document TEXT, path TEXT[]) RETURNS TEXT LANGUAGE plpgsql AS $$
BEGIN
    RETURN regexp_replace(document, '(?<!\\)((\\\\)*)\\u0000', '\1', 'g')::jsonb #>> path;
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$$;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'key', issuer, kid, 1, decode(repeat('00', 16), 'hex'), document, sealed, NULL,
    coalesce(pg_temp.member(document, '{state,name}') = 'revoked', false)
FROM keys ORDER BY position;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'client', '', id, version, decode(repeat('00', 16), 'hex'), document, NULL, NULL, false
FROM clients ORDER BY id;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'approval', coalesce(pg_temp.member(document, '{issuer}'), ''), id, 1,
    decode(repeat('00', 16), 'hex'), document, NULL, NULL, false
FROM approvals ORDER BY id;

DROP FUNCTION pg_temp.member(TEXT, TEXT[]);

ALTER TABLE last_uses DROP CONSTRAINT last_uses_client_fkey;
DROP TABLE keys;
DROP TABLE issuers;
DROP TABLE approvals;
DROP TABLE clients;

-- Which batch wrote an event. It is no part of what the hash is over.
ALTER TABLE events ADD COLUMN batch BYTEA;
CREATE INDEX events_by_batch ON events (batch) WHERE batch IS NOT NULL;

-- Every commit locks the one row, and every replica that asks what has changed waits for it.
INSERT INTO audit_head (singleton, sequence, hash)
VALUES (1, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;

-- What each replica told last, stamped with the database's clock: up to which event it serves, by
-- the event's number and hash.
CREATE TABLE heartbeats (
    replica TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    through BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    document TEXT NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL
);

-- Replicas of an old build may hold leases until they have been silent for long enough.
INSERT INTO heartbeats (replica, through, hash, document, seen_at)
SELECT replica, through, decode(repeat('00', 32), 'hex'), document, seen_at FROM replicas;

DROP TABLE replicas;

-- The staleness that all replicas agree on, in milliseconds.
CREATE TABLE agreement (
    singleton BIGINT NOT NULL PRIMARY KEY CHECK (singleton = 1),
    max_staleness BIGINT NOT NULL,
    -- The timeline of the server, and since when it has been this one.
    timeline TEXT,
    since TIMESTAMPTZ NOT NULL
);

INSERT INTO agreement (singleton, max_staleness, since)
SELECT 1, convert_from(value, 'UTF8')::bigint, to_timestamp(0) FROM settings WHERE name = 'max-staleness';

DROP TABLE settings;
