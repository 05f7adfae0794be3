-- Version 4. Changes of a bus's state travel in another lane than its accounts, and are far fewer: each is read without
-- the other.

CREATE INDEX bus_records ON records (vehicle, lane, received DESC, boot DESC, seq DESC) WHERE kind = 8 AND flaw = 0;
