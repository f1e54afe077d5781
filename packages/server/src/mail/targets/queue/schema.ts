// The tables of the queue, in a database of its own: what waits for other servers holds up nothing else.

/** The name of the database. */
export const QUEUE = 'queue'

/**
 * A recipient on hold has no `next_attempt` and no `wake`. `due` of a destination is the earliest of its recipients' attempts, but not before `down_until`.
 * Numbers come from `spool_tally` and are never used twice: what is under way refers to them.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE spool_tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   INSERT INTO spool_tally (name, value) VALUES ('mail', 0), ('destination', 0), ('report', 0), ('waiting', 0);
   CREATE TABLE spool_mail (
     seq INTEGER PRIMARY KEY, id TEXT NOT NULL, created INTEGER NOT NULL, reverse_path TEXT NOT NULL, sender TEXT NOT NULL, parameters TEXT NOT NULL,
     client TEXT NOT NULL, quarantined INTEGER NOT NULL, size INTEGER NOT NULL, head INTEGER NOT NULL, blob TEXT, recipients INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX spool_mail_id ON spool_mail (id);
   CREATE INDEX spool_mail_blob ON spool_mail (blob) WHERE blob IS NOT NULL;
   CREATE TABLE spool_body (mail INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
   CREATE TABLE spool_destination (
     id INTEGER PRIMARY KEY, target TEXT NOT NULL, name TEXT NOT NULL, waiting INTEGER NOT NULL, due INTEGER, failures INTEGER NOT NULL, down_until INTEGER NOT NULL,
     last_attempt INTEGER NOT NULL, code INTEGER NOT NULL, enhanced TEXT NOT NULL, error TEXT NOT NULL, remote TEXT NOT NULL, UNIQUE (target, name)
   ) STRICT;
   CREATE INDEX spool_destination_due ON spool_destination (due, id);
   CREATE TABLE spool_recipient (
     mail INTEGER NOT NULL, n INTEGER NOT NULL, destination INTEGER NOT NULL, address TEXT NOT NULL, recipient TEXT NOT NULL, account TEXT NOT NULL,
     parameters TEXT NOT NULL, next_attempt INTEGER, wake INTEGER, expires INTEGER NOT NULL, held INTEGER NOT NULL, attempts INTEGER NOT NULL,
     last_attempt INTEGER NOT NULL, code INTEGER NOT NULL, enhanced TEXT NOT NULL, error TEXT NOT NULL, remote TEXT NOT NULL,
     PRIMARY KEY (mail, n)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX spool_recipient_due ON spool_recipient (destination, next_attempt, mail, n);
   CREATE INDEX spool_recipient_wake ON spool_recipient (wake) WHERE wake IS NOT NULL;
   CREATE INDEX spool_recipient_held ON spool_recipient (held) WHERE held > 0;
   CREATE TABLE spool_report (
     seq INTEGER PRIMARY KEY, id TEXT NOT NULL, mail INTEGER NOT NULL, kind TEXT NOT NULL, created INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL,
     begun INTEGER NOT NULL, facts INTEGER NOT NULL, taken TEXT NOT NULL
   ) STRICT;
   CREATE INDEX spool_report_due ON spool_report (due);
   CREATE INDEX spool_report_mail ON spool_report (mail);
   CREATE INDEX spool_report_id ON spool_report (id);
   CREATE TABLE spool_fact (report INTEGER NOT NULL, n INTEGER NOT NULL, fact TEXT NOT NULL, PRIMARY KEY (report, n)) STRICT, WITHOUT ROWID;`,
]
