-- Trips by the time of their start, so that a range of them is read without the rest of a vehicle's records.

CREATE TABLE trips (
    vehicle INTEGER NOT NULL REFERENCES vehicles (id),
    boot    INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    starts  INTEGER NOT NULL,                   -- the vehicle's wall clock in microseconds, or the time of arrival
    PRIMARY KEY (vehicle, boot, lane, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX trips_by_start ON trips (vehicle, starts DESC);
