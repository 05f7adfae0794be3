-- Version 3. Statistics of signals: which records hold them, by time, and where the names behind them stand.

CREATE TABLE statistics (
    vehicle   INTEGER NOT NULL REFERENCES vehicles (id),
    ends      INTEGER NOT NULL,                -- of the stretch, by the vehicle's clock; its arrival if that did not know
    boot      INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    directory BLOB    NOT NULL,                -- the id of the directory that names its series
    PRIMARY KEY (vehicle, ends, boot, lane, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX statistics_by_time ON statistics (ends, vehicle, boot, lane, seq);

-- The parts of directories. The same names have the same id, at every start: the first to come is kept.
CREATE TABLE directories (
    vehicle   INTEGER NOT NULL REFERENCES vehicles (id),
    directory BLOB    NOT NULL,
    first     INTEGER NOT NULL,                -- the place of the part's first series
    boot      INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (vehicle, directory, first)
) STRICT, WITHOUT ROWID;
