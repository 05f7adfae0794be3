-- Version 8. What the director said of each vehicle before the newest, for a vehicle that is in the middle of asking; and
-- what the server says of itself to the commands that work on its database.

CREATE TABLE director_before (
    vehicle    INTEGER NOT NULL REFERENCES vehicles (id),
    snapshot_v INTEGER NOT NULL,
    targets_v  INTEGER NOT NULL,
    snapshot   BLOB    NOT NULL,
    targets    BLOB    NOT NULL,
    PRIMARY KEY (vehicle, snapshot_v)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
