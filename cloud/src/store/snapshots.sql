-- Version 2. Snapshots: which there are, and where their parts stand among the records.

CREATE TABLE snapshots (
    vehicle    INTEGER NOT NULL REFERENCES vehicles (id),
    n          INTEGER NOT NULL,                -- its number in addresses, by arrival
    boot       INTEGER NOT NULL,
    number     INTEGER NOT NULL,                -- the vehicle's own, within the boot
    cause      TEXT    NOT NULL,
    subject    TEXT    NOT NULL,                -- what the cause is about; may be empty
    mono       INTEGER NOT NULL,                -- the trigger, on the vehicle's clocks
    wall       INTEGER,
    before_ms  INTEGER NOT NULL,
    after_ms   INTEGER NOT NULL,
    missing_ms INTEGER NOT NULL,
    merged     INTEGER NOT NULL,
    parts      INTEGER NOT NULL,
    samples    INTEGER NOT NULL DEFAULT 0,      -- of the parts that arrived
    bytes      INTEGER NOT NULL DEFAULT 0,
    received   INTEGER NOT NULL,
    PRIMARY KEY (vehicle, n),
    UNIQUE (vehicle, boot, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot_parts (
    vehicle INTEGER NOT NULL REFERENCES vehicles (id),
    boot    INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    part    INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (vehicle, boot, number, part)
) STRICT, WITHOUT ROWID;
