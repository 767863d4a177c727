-- Format 3. Explained in docs/formats/store.md; a released migration never changes.
-- Where in the trail a name occurs, by blocks of 256 entries. An index of every entry would dirty three pages for
-- each; this one is written once per block.

DROP INDEX trail_by_subject;
DROP INDEX trail_by_actor;
DROP INDEX trail_by_action;

-- Block 0 has the entries 1 to 256. Only blocks whose last entry is there stand here.
CREATE TABLE trail_block (
  kind  TEXT NOT NULL CHECK (kind IN ('action', 'actor', 'subject')),
  name  TEXT NOT NULL,
  block INTEGER NOT NULL,
  PRIMARY KEY (kind, name, block)
) STRICT, WITHOUT ROWID;

INSERT INTO trail_block (kind, name, block)
  WITH whole (seq, action, actor, subject) AS (
    SELECT seq, action, actor, subject FROM trail WHERE seq <= (SELECT max(seq) / 256 * 256 FROM trail)
  )
  SELECT 'action', action, (seq - 1) / 256 FROM whole
  UNION SELECT 'actor', actor, (seq - 1) / 256 FROM whole
  UNION SELECT 'subject', subject, (seq - 1) / 256 FROM whole;
