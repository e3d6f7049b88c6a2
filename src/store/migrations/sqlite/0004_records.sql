-- One table for every kind of record, with a token that no two states of a record share. What is
-- final is never written again; a key that was revoked is. Old builds refuse a file that has this
-- table.
CREATE TABLE records (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    token BLOB NOT NULL,
    document TEXT NOT NULL,
    sealed BLOB,
    unique_text TEXT,
    is_final INTEGER NOT NULL,
    UNIQUE (kind, owner, id),
    UNIQUE (kind, unique_text)
) STRICT;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'setting', '', name, 1, zeroblob(16), '', value, NULL, 0 FROM settings ORDER BY name;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'issuer', '', name, version, zeroblob(16), document, NULL, path, 0 FROM issuers ORDER BY name;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'key', issuer, kid, 1, zeroblob(16), document, sealed, NULL,
    CASE WHEN json_valid(document) AND json_extract(document, '$.state.name') = 'revoked' THEN 1 ELSE 0 END
FROM keys ORDER BY position;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'client', '', id, version, zeroblob(16), document, NULL, NULL, 0 FROM clients ORDER BY id;

INSERT INTO records (kind, owner, id, version, token, document, sealed, unique_text, is_final)
SELECT 'approval',
    CASE WHEN json_valid(document) THEN coalesce(json_extract(document, '$.issuer'), '') ELSE '' END,
    id, 1, zeroblob(16), document, NULL, NULL, 0
FROM approvals ORDER BY id;

CREATE TABLE uses (
    client TEXT NOT NULL,
    credential TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (client, credential)
) STRICT;

INSERT INTO uses (client, credential, at) SELECT client, credential, at FROM last_uses;

DROP TABLE last_uses;
DROP TABLE keys;
DROP TABLE issuers;
DROP TABLE approvals;
DROP TABLE clients;
DROP TABLE settings;
ALTER TABLE uses RENAME TO last_uses;

-- Which batch wrote an event. It is no part of what the hash is over.
ALTER TABLE events ADD COLUMN batch BLOB;
CREATE INDEX events_by_batch ON events (batch) WHERE batch IS NOT NULL;
