-- How far each input of a vehicle's models has come from what they were trained on, as it was told last.

CREATE TABLE drift (
    vehicle  INTEGER NOT NULL REFERENCES vehicles (id),
    model    TEXT    NOT NULL,
    input    TEXT    NOT NULL,
    horizon  INTEGER NOT NULL,                  -- 0 fast, 1 slow
    digest   TEXT    NOT NULL,                  -- of the model
    severity INTEGER NOT NULL,                  -- 0 none, 1 moderate, 2 severe
    psi      REAL    NOT NULL,                  -- the population stability index
    above    REAL    NOT NULL,                  -- the index from which it is moderate
    outside  REAL    NOT NULL,                  -- the share beyond everything that training saw
    mono     INTEGER NOT NULL,                  -- the end of the window, on the vehicle's clocks
    wall     INTEGER,
    received INTEGER NOT NULL,
    boot     INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (vehicle, model, input, horizon)
) STRICT, WITHOUT ROWID;
