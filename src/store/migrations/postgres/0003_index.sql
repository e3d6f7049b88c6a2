-- What records are found by beside their names, for kinds of which there are too many to be read as a
-- whole. Programs of before leave the columns alone.
ALTER TABLE records ADD COLUMN subject TEXT COLLATE "C";
ALTER TABLE records ADD COLUMN client TEXT COLLATE "C";
-- From when on a record may be deleted, in milliseconds since the Unix epoch.
ALTER TABLE records ADD COLUMN kept_until BIGINT;

CREATE INDEX records_by_subject ON records (kind, owner, subject, id) WHERE subject IS NOT NULL;
CREATE INDEX records_by_client ON records (kind, owner, client, kept_until) WHERE client IS NOT NULL;
CREATE INDEX records_by_kept_until ON records (kind, kept_until) WHERE kept_until IS NOT NULL;
