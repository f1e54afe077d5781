// The tables of the text index. All of it is derived from the messages: deleting every row is safe, the index is then made anew.

/**
 * A segment holds the words and address fields of the emails `first` to `last`; segments overlap nowhere. `level` grows with its size, `state` is one of SEGMENT in
 * segments.ts, and `target` is the segment that it is being merged into. Its content is in chunks, in the order of their keys: see chunks.ts. `mail_search_dead` holds
 * emails that were deleted after they were indexed, and the segment being made without them.
 */
export const SEARCH_TABLES = `
CREATE INDEX mail_message_email ON mail_message (email);

CREATE TABLE mail_search (
  id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL,
  indexed INTEGER NOT NULL,
  segment INTEGER NOT NULL
) STRICT;

CREATE TABLE mail_search_segment (
  id INTEGER PRIMARY KEY,
  state INTEGER NOT NULL,
  level INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  emails INTEGER NOT NULL,
  target INTEGER
) STRICT;

CREATE TABLE mail_search_chunk (
  segment INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  last BLOB NOT NULL,
  keys BLOB NOT NULL,
  postings BLOB NOT NULL,
  PRIMARY KEY (segment, stream, chunk)
) STRICT;

CREATE TABLE mail_search_dead (email INTEGER PRIMARY KEY, segment INTEGER) STRICT;
`
