// The tables of one account's mail.

import { SEARCH_TABLES } from './search/tables.ts'
import { SHARING_TABLES } from './sharing/tables.ts'
import { FLAG_BLOCKS } from './flag-blocks.ts'
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
  // 2: the second edition of the contract of mail stores. Emails that are here already are rendered anew in the background (rendering.ts).
  `
-- Quota: totals over all mailboxes, kept with every change; limits of this account alone (NULL: as the config says, -1: none).
ALTER TABLE mail_state ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mail_state ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mail_state ADD COLUMN mailboxes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mail_state ADD COLUMN octets_limit INTEGER;
ALTER TABLE mail_state ADD COLUMN messages_limit INTEGER;
ALTER TABLE mail_state ADD COLUMN mailboxes_limit INTEGER;
UPDATE mail_state SET
  octets = (SELECT coalesce(sum(octets), 0) FROM mail_mailbox),
  messages = (SELECT coalesce(sum(messages), 0) FROM mail_mailbox),
  mailboxes = (SELECT count(*) FROM mail_mailbox);

ALTER TABLE mail_mailbox ADD COLUMN deleted_octets INTEGER NOT NULL DEFAULT 0;
UPDATE mail_mailbox SET deleted_octets = (
  SELECT coalesce(sum(size), 0) FROM mail_message
  WHERE mailbox = mail_mailbox.id AND flagset IN (SELECT id FROM mail_flagset WHERE deleted = 1)
) WHERE deleted > 0;

-- The zone of internal_date in minutes east of UTC; when the message came into this mailbox (NULL: before anybody asked, its internal_date is the best guess).
ALTER TABLE mail_message ADD COLUMN zone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mail_message ADD COLUMN saved_at INTEGER;

-- By which edition of the renderer an email was rendered; those of an older one are found by the index.
ALTER TABLE mail_email ADD COLUMN rendered INTEGER NOT NULL DEFAULT 0;
CREATE INDEX mail_email_stale ON mail_email (id) WHERE rendered < 1;

-- What programs ask for when they list a mailbox.
CREATE TABLE mail_listing (email INTEGER PRIMARY KEY, common_header BLOB NOT NULL, preview BLOB NOT NULL) STRICT;

-- Texts for sorting and threading (KeyField), and the thread.
CREATE TABLE mail_keys (
  email INTEGER PRIMARY KEY,
  thread INTEGER NOT NULL,
  subject TEXT NOT NULL,
  from_mailbox TEXT NOT NULL,
  to_mailbox TEXT NOT NULL,
  cc_mailbox TEXT NOT NULL,
  display_from TEXT NOT NULL,
  display_to TEXT NOT NULL,
  sent TEXT NOT NULL,
  threading TEXT NOT NULL
) STRICT;
CREATE INDEX mail_keys_thread ON mail_keys (thread);

-- Which thread a message id (its hash) belongs to; ids of messages that are not here included.
CREATE TABLE mail_thread_key (hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL) STRICT;
CREATE INDEX mail_thread_key_thread ON mail_thread_key (thread);

-- Mailboxes that were deleted and whose rows are not gone yet.
CREATE TABLE mail_deleted (mailbox INTEGER PRIMARY KEY) STRICT;
`,
  // 3: the text index.
  SEARCH_TABLES,
  // 4: annotations and access lists.
  SHARING_TABLES,
  importMigration,
  // 6: flags that changed. Rows of `mail_message` stay as they are: what earlier editions wrote into them counts as what the message came with.
  FLAG_BLOCKS,
  // 7: packed columns in two parts, so that what came lately need not be read row by row nor all of them be written again. Part 0: all rows as of its modseq; part 1: those that came since, as of its own.
  `
DROP TABLE mail_snapshot;
CREATE TABLE mail_packed (
  mailbox INTEGER NOT NULL,
  part INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  columns BLOB NOT NULL,
  PRIMARY KEY (mailbox, part)
) STRICT;
`,
]
