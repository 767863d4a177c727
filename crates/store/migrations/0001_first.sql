-- Format 1. Explained in docs/formats/store.md; a released migration never changes.
CREATE TABLE event (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,   -- AUTOINCREMENT: a pruned number is not given again
  at_ms      INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  subject    TEXT NOT NULL,
  from_state TEXT,
  to_state   TEXT,
  why        TEXT NOT NULL,
  details    TEXT CHECK (details IS NULL OR json_valid(details)),
  -- The part before the slash, so that one service's events come in order out of one index.
  service    TEXT NOT NULL GENERATED ALWAYS AS (
               CASE instr(subject, '/') WHEN 0 THEN subject ELSE substr(subject, 1, instr(subject, '/') - 1) END
             ) VIRTUAL
) STRICT;
CREATE INDEX event_by_service ON event (service, seq);
CREATE INDEX event_by_time ON event (at_ms);

CREATE TABLE port (
  service TEXT NOT NULL,
  ordinal INTEGER NOT NULL CHECK (ordinal BETWEEN 0 AND 4294967295),
  name    TEXT NOT NULL,
  number  INTEGER NOT NULL UNIQUE CHECK (number BETWEEN 0 AND 65535),
  PRIMARY KEY (service, ordinal, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE prepared (
  service     TEXT NOT NULL PRIMARY KEY,
  fingerprint TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
  name  TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
