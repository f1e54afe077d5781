// RFC 5464, RFC 4314: what is noted on mailboxes, and who beside the owner may use them.

/** `holder`: '' for /shared entries, else the account whose own a /private entry is. `mailbox` 0 is the server. `identifier`: an account's id, or `anyone`. */
export const SHARING_TABLES = `
CREATE TABLE mail_metadata (
  mailbox INTEGER NOT NULL,
  holder TEXT NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (mailbox, holder, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_metadata_holder ON mail_metadata (holder, mailbox);

CREATE TABLE mail_acl (
  mailbox INTEGER NOT NULL,
  identifier TEXT NOT NULL,
  rights TEXT NOT NULL,
  PRIMARY KEY (mailbox, identifier)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_acl_identifier ON mail_acl (identifier, mailbox);
`
