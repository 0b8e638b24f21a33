-- Version 1 of the store of `vmcore-thp triage`. Times are seconds since 1970 in UTC.
CREATE TABLE dumps (
    key            TEXT NOT NULL,    -- of the content: see fingerprint.rs
    tool           TEXT NOT NULL,    -- version of the program that analyzed it
    kind           TEXT NOT NULL,    -- 'dump' or 'log'
    size           INTEGER NOT NULL, -- bytes
    host           TEXT,
    crashed        INTEGER,          -- when it crashed, else when the file was last changed
    finished       INTEGER NOT NULL, -- when it was analyzed
    elapsed_ns     INTEGER NOT NULL,
    failure        TEXT,             -- 'refused', 'timeout', 'memory', 'signal', 'broken', 'unreadable'; NULL: none
    failure_text   TEXT,
    from_log       INTEGER NOT NULL, -- 1: the dump could not be analyzed, the log beside it was
    release        TEXT,
    version        TEXT,
    build_id       TEXT,
    panic          TEXT,
    panic_cpu      INTEGER,
    panic_pid      INTEGER,
    issue          TEXT,
    confidence     TEXT,
    summary        TEXT,
    known_issue    TEXT,
    in_this_kernel TEXT,             -- 'yes', 'no', 'unknown'
    remedy         TEXT,
    unknown        INTEGER NOT NULL, -- things that could not be read
    incomplete     INTEGER NOT NULL,
    signature      TEXT NOT NULL,    -- exact
    similar        TEXT NOT NULL,    -- the coarser signature
    group_id       TEXT NOT NULL,    -- digits that stand for `signature`
    crash          TEXT,             -- the same in all dumps of one crash; NULL: not known
    PRIMARY KEY (key, tool)
) WITHOUT ROWID;
CREATE INDEX dumps_by_group ON dumps (group_id);

-- The whole JSON of `analyze` or `log`, apart, so that rows are read fast.
CREATE TABLE documents (
    key  TEXT NOT NULL,
    tool TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (key, tool),
    FOREIGN KEY (key, tool) REFERENCES dumps (key, tool) ON DELETE CASCADE
);

-- Where each content was found, and what the file was like then, so that an unchanged one is not read again.
CREATE TABLE files (
    path TEXT NOT NULL PRIMARY KEY,
    key  TEXT NOT NULL,
    seen INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_key ON files (key);

-- What is being analyzed now, and by which process: the one that holds the lock on the file `worker`.
CREATE TABLE claims (
    key    TEXT NOT NULL,
    tool   TEXT NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (key, tool)
) WITHOUT ROWID;
