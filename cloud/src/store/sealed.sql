-- Version 9. Sealed bundles: the keys that they are sealed with, the vehicles' public keys, and each content key as it was
-- wrapped for one vehicle.

ALTER TABLE bundles ADD COLUMN key_id BLOB;     -- of the content key; NULL where the bundle lies open

CREATE TABLE content_keys (
    key_id BLOB    PRIMARY KEY,
    family TEXT    NOT NULL,                    -- one key opens bundles of one family
    body   BLOB    NOT NULL,                    -- the secret
    who    TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE TABLE sealing_keys (
    vehicle  INTEGER PRIMARY KEY REFERENCES vehicles (id),
    public   BLOB    NOT NULL,
    received INTEGER NOT NULL
) STRICT;

CREATE TABLE wrapped_keys (
    vehicle INTEGER NOT NULL REFERENCES vehicles (id),
    key_id  BLOB    NOT NULL REFERENCES content_keys (key_id),
    body    BLOB    NOT NULL,
    PRIMARY KEY (vehicle, key_id)
) STRICT, WITHOUT ROWID;
