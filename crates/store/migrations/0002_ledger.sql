-- Format 2. Explained in docs/formats/store.md; a released migration never changes.
-- Sealed bytes and hashes only: no table here holds a value or a token.

CREATE TABLE credential (
  id                TEXT NOT NULL PRIMARY KEY,
  name              TEXT NOT NULL,
  owner             TEXT,
  kind              TEXT NOT NULL,
  description       TEXT,
  metadata          TEXT NOT NULL CHECK (json_valid(metadata)),
  origin            TEXT NOT NULL,
  version           INTEGER NOT NULL CHECK (version > 0),
  rotation_required INTEGER NOT NULL CHECK (rotation_required IN (0, 1)),
  rotate_days       INTEGER,
  expires_at_ms     INTEGER,
  rotation_count    INTEGER NOT NULL,
  created_at_ms     INTEGER NOT NULL,
  updated_at_ms     INTEGER NOT NULL,
  rotated_at_ms     INTEGER NOT NULL,
  last_used_at_ms   INTEGER,
  revision          INTEGER NOT NULL
) STRICT;
-- NULL would differ from itself; no service has an empty name.
CREATE UNIQUE INDEX credential_by_name ON credential (name, coalesce(owner, ''));
CREATE INDEX credential_by_expiry ON credential (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

CREATE TABLE credential_scope (
  credential TEXT NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
  service    TEXT NOT NULL,
  place      INTEGER NOT NULL,
  PRIMARY KEY (credential, service)
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_scope_by_service ON credential_scope (service);

CREATE TABLE credential_version (
  credential     TEXT NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
  version        INTEGER NOT NULL CHECK (version > 0),
  state          TEXT NOT NULL CHECK (state IN ('pending', 'current', 'previous', 'retired')),
  sealed         BLOB NOT NULL CHECK (state <> 'retired' OR length(sealed) = 0),
  key_id         TEXT NOT NULL,
  created_at_ms  INTEGER NOT NULL,
  valid_until_ms INTEGER,
  PRIMARY KEY (credential, version)
) STRICT;
CREATE UNIQUE INDEX credential_version_current ON credential_version (credential) WHERE state = 'current';
CREATE INDEX credential_version_by_key ON credential_version (key_id) WHERE state <> 'retired';

CREATE TABLE rotation (
  id          TEXT NOT NULL PRIMARY KEY,
  credential  TEXT NOT NULL REFERENCES credential (id) ON DELETE CASCADE,
  began_at_ms INTEGER NOT NULL,
  ended_at_ms INTEGER,
  state       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX rotation_open ON rotation (credential) WHERE ended_at_ms IS NULL;
CREATE INDEX rotation_by_credential ON rotation (credential, began_at_ms);

CREATE TABLE enrolment (
  id            TEXT NOT NULL PRIMARY KEY,
  hash          BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
  subject       TEXT NOT NULL,
  service       TEXT,
  instance      TEXT,
  scopes        TEXT NOT NULL CHECK (json_valid(scopes)),
  made_by       TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  used_at_ms    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  sid             TEXT NOT NULL PRIMARY KEY,
  subject         TEXT NOT NULL,
  service         TEXT,
  instance        TEXT,
  scopes          TEXT NOT NULL CHECK (json_valid(scopes)),
  refresh         BLOB NOT NULL UNIQUE CHECK (length(refresh) = 32),
  former          BLOB CHECK (former IS NULL OR length(former) = 32),
  created_at_ms   INTEGER NOT NULL,
  refreshed_at_ms INTEGER NOT NULL,
  expires_at_ms   INTEGER NOT NULL,
  ended_at_ms     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_expiry ON session (expires_at_ms);

-- Every refresh token that was exchanged, not only the last: whoever shows one of them has a copy.
CREATE TABLE session_former (
  hash     BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
  sid      TEXT NOT NULL REFERENCES session (sid) ON DELETE CASCADE,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_former_by_session ON session_former (sid);
CREATE INDEX session_former_by_until ON session_former (until_ms);

CREATE TABLE revocation (
  what     TEXT NOT NULL PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  why      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
  kid           TEXT NOT NULL PRIMARY KEY,
  sealed        BLOB NOT NULL,
  public        BLOB NOT NULL CHECK (length(public) = 32),
  made_at_ms    INTEGER NOT NULL,
  retires_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE announced (
  service          TEXT NOT NULL,
  instance         TEXT NOT NULL,
  ordinal          INTEGER NOT NULL CHECK (ordinal BETWEEN 0 AND 4294967295),
  body             TEXT NOT NULL,
  registered_at_ms INTEGER NOT NULL,
  updated_at_ms    INTEGER NOT NULL,
  PRIMARY KEY (service, instance)
) STRICT, WITHOUT ROWID;

CREATE TABLE health_change (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms      INTEGER NOT NULL,
  service    TEXT NOT NULL,
  instance   TEXT,
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  why        TEXT NOT NULL
) STRICT;
CREATE INDEX health_change_by_service ON health_change (service, seq);
CREATE INDEX health_change_by_time ON health_change (at_ms);

CREATE TABLE alert_state (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  body TEXT NOT NULL
) STRICT;

CREATE TABLE delivery (
  id        TEXT NOT NULL PRIMARY KEY,
  receiver  TEXT NOT NULL,
  state     TEXT NOT NULL,
  due_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE silence (
  id            TEXT NOT NULL PRIMARY KEY,
  service       TEXT,
  until_ms      INTEGER NOT NULL,
  why           TEXT NOT NULL,
  made_by       TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotent (
  caller   TEXT NOT NULL,
  key      TEXT NOT NULL,
  request  BLOB NOT NULL CHECK (length(request) = 32),
  status   INTEGER NOT NULL CHECK (status BETWEEN 0 AND 65535),
  body     BLOB NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (caller, key)
) STRICT;
CREATE INDEX idempotent_by_until ON idempotent (until_ms);

-- No AUTOINCREMENT: the number comes from the entry before, so that a batch that was undone leaves no gap.
CREATE TABLE trail (
  seq     INTEGER PRIMARY KEY,
  at_ms   INTEGER NOT NULL,
  actor   TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  outcome TEXT NOT NULL,
  body    TEXT NOT NULL,
  prev    BLOB NOT NULL CHECK (length(prev) = 32),
  hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX trail_by_subject ON trail (subject, seq);
CREATE INDEX trail_by_actor ON trail (actor, seq);
CREATE INDEX trail_by_action ON trail (action, seq);

-- The head before the oldest kept entry.
CREATE TABLE trail_start (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  seq  INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO trail_start (only, seq, hash) VALUES (1, 0, zeroblob(32));

-- Against our own mistakes and a careless hand in a shell. Who may write the file can drop them; the chain
-- tells.
CREATE TRIGGER trail_is_a_chain BEFORE INSERT ON trail
  WHEN NEW.prev IS NOT coalesce((SELECT hash FROM trail WHERE seq = NEW.seq - 1),
                                (SELECT hash FROM trail_start WHERE seq = NEW.seq - 1))
    OR EXISTS (SELECT 1 FROM trail WHERE seq >= NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'an entry of the trail follows the last one'); END;
CREATE TRIGGER trail_is_not_changed BEFORE UPDATE ON trail
  BEGIN SELECT RAISE(ABORT, 'an entry of the trail is never changed'); END;
CREATE TRIGGER trail_is_pruned_from_its_old_end BEFORE DELETE ON trail
  WHEN OLD.seq > (SELECT seq FROM trail_start)
  BEGIN SELECT RAISE(ABORT, 'the trail is only pruned behind its start'); END;
CREATE TRIGGER trail_start_moves_forward BEFORE UPDATE ON trail_start
  WHEN NEW.seq <= OLD.seq OR NOT EXISTS (SELECT 1 FROM trail WHERE seq = NEW.seq AND hash = NEW.hash)
  BEGIN SELECT RAISE(ABORT, 'the start of the trail moves forward, to an entry of it'); END;
CREATE TRIGGER trail_start_stays BEFORE DELETE ON trail_start
  BEGIN SELECT RAISE(ABORT, 'the start of the trail stays'); END;
