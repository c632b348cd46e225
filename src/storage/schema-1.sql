CREATE TABLE entity (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  tag TEXT,
  name TEXT,
  description TEXT,
  location INTEGER,
  home INTEGER,
  owner INTEGER,
  prototype INTEGER,
  destination INTEGER,
  gait TEXT,
  active TEXT NOT NULL,
  step INTEGER NOT NULL,
  indoors INTEGER NOT NULL,
  locked INTEGER NOT NULL,
  fixed INTEGER NOT NULL,
  asleep INTEGER NOT NULL
) STRICT;
CREATE TABLE habit (
  creature INTEGER NOT NULL,
  verb TEXT NOT NULL,
  every_minutes INTEGER NOT NULL,
  PRIMARY KEY (creature, verb)
) STRICT, WITHOUT ROWID;
CREATE TABLE habit_item (
  creature INTEGER NOT NULL,
  verb TEXT NOT NULL,
  position INTEGER NOT NULL,
  target INTEGER,
  line TEXT,
  PRIMARY KEY (creature, verb, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE spawn (
  position INTEGER PRIMARY KEY,
  prototype INTEGER NOT NULL,
  room INTEGER NOT NULL,
  at_most INTEGER NOT NULL,
  every_minutes INTEGER NOT NULL,
  text TEXT
) STRICT;
CREATE TABLE world (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  tick INTEGER NOT NULL,
  random INTEGER NOT NULL,
  weather TEXT NOT NULL,
  next_id INTEGER NOT NULL,
  source TEXT NOT NULL,
  digest TEXT,
  flushed_at TEXT NOT NULL
) STRICT;
