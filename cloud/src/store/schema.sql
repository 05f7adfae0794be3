-- Version 1. Times are microseconds since the Unix epoch on the server's clock. A boot id is a u64 stored by its bits.

CREATE TABLE vehicles (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    first_contact INTEGER,                      -- NULL until it calls for the first time
    last_contact  INTEGER,
    revoked       INTEGER NOT NULL DEFAULT 0,
    requests      INTEGER NOT NULL DEFAULT 0,
    records       INTEGER NOT NULL DEFAULT 0,   -- stored, each once
    duplicates    INTEGER NOT NULL DEFAULT 0,   -- came again with the same bytes
    conflicts     INTEGER NOT NULL DEFAULT 0,   -- came again with other bytes, and were kept out
    unknown       INTEGER NOT NULL DEFAULT 0,   -- stored, of a kind this server does not know
    malformed     INTEGER NOT NULL DEFAULT 0,   -- stored, of a known kind that does not decode
    lost_frames   INTEGER NOT NULL DEFAULT 0,   -- by the vehicle's own account
    lost_records  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The one copy of everything. The key turns at-least-once delivery into exactly-once effect.
CREATE TABLE records (
    vehicle  INTEGER NOT NULL REFERENCES vehicles (id),
    boot     INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    flaw     INTEGER NOT NULL,                  -- 0 none, 1 unknown kind, 2 malformed body
    received INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (vehicle, boot, lane, seq)
) STRICT, WITHOUT ROWID;

-- Pages read the newest readable records of a kind; arrival decides, because a vehicle's clock may be wrong.
CREATE INDEX records_by_kind ON records (vehicle, kind, received DESC, boot DESC, seq DESC) WHERE flaw = 0;

-- How far each lane of each boot is acknowledged.
CREATE TABLE streams (
    vehicle INTEGER NOT NULL REFERENCES vehicles (id),
    boot    INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    through INTEGER NOT NULL,
    PRIMARY KEY (vehicle, boot, lane)
) STRICT, WITHOUT ROWID;

-- Numbers at or below `through` that never came. A loss record may explain them; a late batch removes them.
CREATE TABLE gaps (
    vehicle INTEGER NOT NULL REFERENCES vehicles (id),
    boot    INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    noticed INTEGER NOT NULL,
    PRIMARY KEY (vehicle, boot, lane, first)
) STRICT, WITHOUT ROWID;

-- What is held of each subject now: the newest verdict event.
CREATE TABLE subjects (
    vehicle  INTEGER NOT NULL REFERENCES vehicles (id),
    model    TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    verdict  INTEGER NOT NULL,                  -- 0 nominal, 1 anomalous, 2 indeterminate
    received INTEGER NOT NULL,
    boot     INTEGER NOT NULL,
    lane     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (vehicle, model, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX subjects_open ON subjects (vehicle, received) WHERE verdict = 1;

-- Where each model's newest summary is, and what it says in numbers.
CREATE TABLE models (
    vehicle   INTEGER NOT NULL REFERENCES vehicles (id),
    model     TEXT    NOT NULL,
    subjects  INTEGER NOT NULL,
    scored    INTEGER NOT NULL,
    anomalous INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    boot      INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (vehicle, model)
) STRICT, WITHOUT ROWID;
