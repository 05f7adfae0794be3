-- Version 5. Over the air: models, rollouts, commands, what the director signed last, and who decided what and why.

CREATE TABLE bundles (
    id         INTEGER PRIMARY KEY,
    path       TEXT    NOT NULL UNIQUE,         -- FAMILY/NAME-RELEASE.index
    digest     BLOB    NOT NULL UNIQUE,         -- of the index: the bundle's name in events
    body       BLOB    NOT NULL,                -- the index
    family     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    release    INTEGER NOT NULL,
    author     TEXT    NOT NULL,
    provenance TEXT    NOT NULL,                -- JSON; empty if the bundle has none
    card       TEXT    NOT NULL,
    publisher  TEXT    NOT NULL,                -- who imported it
    imported   INTEGER NOT NULL,
    approver   TEXT,
    approved   INTEGER,
    revoked    INTEGER,
    UNIQUE (family, release)
) STRICT;

CREATE TABLE chunks (
    digest BLOB PRIMARY KEY,
    body   BLOB NOT NULL
) STRICT;

CREATE TABLE groups (
    name    TEXT NOT NULL,
    vehicle TEXT NOT NULL,                      -- by name: it may not have called yet
    PRIMARY KEY (name, vehicle)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollouts (
    id            INTEGER PRIMARY KEY,
    bundle        INTEGER NOT NULL REFERENCES bundles (id),
    plan          TEXT    NOT NULL,             -- TOML
    salt          BLOB    NOT NULL,
    author        TEXT    NOT NULL,
    created       INTEGER NOT NULL,
    phase         INTEGER NOT NULL DEFAULT 0,
    wave          INTEGER,                      -- the newest that has begun
    met_since     INTEGER,
    approved_wave INTEGER,
    excused_wave  INTEGER NOT NULL DEFAULT 0,
    excused_all   INTEGER NOT NULL DEFAULT 0,
    readings_from INTEGER NOT NULL DEFAULT 0    -- observations up to this number are excused
) STRICT;

-- Every vehicle that a rollout has seen, with the wave that it belongs to; NULL if the rollout leaves it out.
CREATE TABLE members (
    rollout  INTEGER NOT NULL REFERENCES rollouts (id),
    vehicle  INTEGER NOT NULL REFERENCES vehicles (id),
    wave     INTEGER,
    stage    INTEGER NOT NULL DEFAULT 0,
    assigned INTEGER,
    reason   TEXT    NOT NULL DEFAULT '',
    changed  INTEGER,
    boot     INTEGER,                           -- of the record that told the stage
    seq      INTEGER,
    PRIMARY KEY (rollout, vehicle)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_vehicle ON members (vehicle, rollout);

-- One of each metric and vehicle, in the order of arrival: what the sequential tests bet on.
CREATE TABLE observations (
    rollout INTEGER NOT NULL REFERENCES rollouts (id),
    n       INTEGER NOT NULL,
    metric  INTEGER NOT NULL,
    vehicle INTEGER NOT NULL REFERENCES vehicles (id),
    value   REAL    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (rollout, n),
    UNIQUE (rollout, metric, vehicle)
) STRICT, WITHOUT ROWID;

-- What each vehicle told last of each family's model.
CREATE TABLE installed (
    vehicle   INTEGER NOT NULL REFERENCES vehicles (id),
    family    TEXT    NOT NULL,
    release   INTEGER NOT NULL,                 -- what the newest step is about
    version   TEXT    NOT NULL,
    bundle    BLOB    NOT NULL,
    step      TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    committed INTEGER,                          -- the release that is the active one, as far as it was told
    received  INTEGER NOT NULL,
    boot      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (vehicle, family)
) STRICT, WITHOUT ROWID;

-- The newest shadow report of each vehicle and bundle.
CREATE TABLE shadows (
    vehicle  INTEGER NOT NULL REFERENCES vehicles (id),
    bundle   BLOB    NOT NULL,
    is_trial INTEGER NOT NULL,
    windows  INTEGER NOT NULL,
    compared INTEGER NOT NULL,
    differed INTEGER NOT NULL,
    failed   INTEGER NOT NULL,                  -- runs of the new model without a good output
    p99_us   INTEGER NOT NULL,
    disagreement REAL,
    excess   REAL,
    received INTEGER NOT NULL,
    boot     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (vehicle, bundle)
) STRICT, WITHOUT ROWID;

CREATE TABLE commands (
    id       INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
    vehicle  INTEGER NOT NULL REFERENCES vehicles (id),
    kind     INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    what     TEXT    NOT NULL,                  -- for a person
    who      TEXT    NOT NULL,
    why      TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    outcome  TEXT,                              -- by the vehicle's acknowledgement
    told     TEXT    NOT NULL DEFAULT '',
    ended    INTEGER
) STRICT;

CREATE INDEX commands_open ON commands (vehicle, id) WHERE outcome IS NULL;

-- What the director signed last for each vehicle.
CREATE TABLE director (
    vehicle   INTEGER PRIMARY KEY REFERENCES vehicles (id),
    wanted    BLOB    NOT NULL,                 -- the digest of what the targets say
    targets_v   INTEGER NOT NULL,
    snapshot_v  INTEGER NOT NULL,
    timestamp_v INTEGER NOT NULL,
    targets   BLOB    NOT NULL,
    snapshot  BLOB    NOT NULL,
    timestamp BLOB    NOT NULL,
    desired   BLOB                              -- the desired state, where the targets name one
) STRICT;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    subject TEXT    NOT NULL,                   -- `rollout 3`, `model FAMILY/NAME-RELEASE.index`, `vehicle ID`
    act     TEXT    NOT NULL,
    wave    INTEGER,
    why     TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_by_subject ON audit (subject, id);
