// The tables of one account's mail.

import { importMigration } from './import-operations.ts'

/**
 * `mail_state` is the account's single clock and the source of every number that is never given twice. A message is a row of `mail_message`; what it says lives in
 * `mail_email` (rendered pieces, counted references) and `mail_octets` (the octets), so that scans for flags, envelopes and structures touch few pages.
 */
export const migrations: readonly string[] = [
  `
CREATE TABLE mail_state (
  id INTEGER PRIMARY KEY,
  modseq INTEGER NOT NULL,
  uidvalidity INTEGER NOT NULL,
  mailbox INTEGER NOT NULL,
  email INTEGER NOT NULL,
  flagset INTEGER NOT NULL
) STRICT;

CREATE TABLE mail_mailbox (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  role TEXT UNIQUE,
  uidvalidity INTEGER NOT NULL,
  uidnext INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  unseen INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  octets INTEGER NOT NULL,
  recent_uid INTEGER NOT NULL,
  trimmed_modseq INTEGER NOT NULL
) STRICT;

CREATE TABLE mail_subscription (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Keywords by their lower-case form, in the spelling that came first.
CREATE TABLE mail_keyword (fold TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Every combination of flags that some message has or had: any number of keywords costs a message one number.
CREATE TABLE mail_flagset (
  id INTEGER PRIMARY KEY,
  flags TEXT NOT NULL UNIQUE,
  seen INTEGER NOT NULL,
  deleted INTEGER NOT NULL
) STRICT;

CREATE TABLE mail_email (
  id INTEGER PRIMARY KEY,
  refcount INTEGER NOT NULL,
  size INTEGER NOT NULL,
  header_size INTEGER NOT NULL,
  codec INTEGER NOT NULL,
  blob TEXT,
  envelope BLOB NOT NULL,
  body_structure BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX mail_email_unused ON mail_email (id) WHERE refcount = 0;
CREATE INDEX mail_email_blob ON mail_email (blob) WHERE blob IS NOT NULL;

-- The header as it is; the rest as the codec says (nothing where it is in a blob).
CREATE TABLE mail_octets (email INTEGER PRIMARY KEY, header BLOB, content BLOB) STRICT;

CREATE TABLE mail_message (
  mailbox INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  flagset INTEGER NOT NULL,
  email INTEGER NOT NULL,
  size INTEGER NOT NULL,
  internal_date INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_message_modseq ON mail_message (mailbox, modseq);

-- What QRESYNC must tell, and what a session that has not been told may still read: email is counted in its refcount until it is let go (NULL).
CREATE TABLE mail_expunged (
  mailbox INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  email INTEGER,
  at INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_expunged_modseq ON mail_expunged (mailbox, modseq);
CREATE INDEX mail_expunged_held ON mail_expunged (at) WHERE email IS NOT NULL;

-- Deliveries of the last days: one that is repeated after a crash is answered, not made again.
CREATE TABLE mail_delivery (id TEXT PRIMARY KEY, at INTEGER NOT NULL, mailbox INTEGER NOT NULL, uid INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX mail_delivery_at ON mail_delivery (at);

-- The columns of a large mailbox, packed: derived, safe to delete.
CREATE TABLE mail_snapshot (mailbox INTEGER PRIMARY KEY, modseq INTEGER NOT NULL, columns BLOB NOT NULL) STRICT;
`,
  importMigration,
]
