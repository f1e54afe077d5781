// What servers get wrong and this client reads all the same. Each has a name, which is reported when it is met, and a test.

/** Name → what is met, and what is made of it. */
export const QUIRKS = {
  'address-list-empty': 'An address list is (), where NIL stands for no addresses.',
  'bare-lf': 'A line ends in LF alone.',
  'body-fields-missing': 'A BODYSTRUCTURE ends before its basic fields do: the missing ones are taken as NIL.',
  'disposition-string': "A disposition is a bare string, as Exchange's: it is the type, without parameters.",
  'double-space': 'More than one space stands between two words.',
  'empty-copyuid': 'COPYUID or APPENDUID names no messages: it counts as absent.',
  'envelope-short': 'An ENVELOPE has fewer than ten fields: the missing ones are taken as NIL.',
  'huge-number': 'A number is beyond what can be counted exactly: it counts as absent.',
  'list-as-nil': 'A list that has to be there is NIL: it is taken as empty.',
  'literal-mark-in-text': 'Human text ends like the announcement of a literal: no literal follows.',
  'missing-space': 'A space between two words is missing.',
  'missing-text': 'A status response has no text behind its status.',
  'multipart-without-parts': 'A multipart has no parts: it is read as one with none.',
  'name-not-utf7': 'A mailbox name is no modified UTF-7: it is shown, and sent back, as it came.',
  'negative-number': 'A number is negative (sizes of -1): it is taken as 0.',
  'number-as-nil': 'A number is NIL: it is taken as 0.',
  'number-as-string': 'A number stands in quotes.',
  'parameters-odd': 'The last parameter of a part has a name and no value: it is left out.',
  'rfc822-without-envelope': 'A message/rfc822 part is described like any other, without envelope and structure.',
  'space-before-crlf': 'A line ends in spaces.',
  'space-in-list': 'Spaces stand inside the parentheses of a list, before its first or behind its last element.',
  'stray-tag': 'A tagged response answers a command that was never sent.',
  'string-as-atom': 'A string stands without quotes.',
  'text-without-lines': 'A text part does not say how many lines it has.',
  'unasked-continuation': 'A continuation request came that nothing waited for.',
  'unclosed-code': 'A response code has no closing bracket: it is taken to end with the line.',
  'unreadable-date': 'A date cannot be read: it counts as absent.',
  'unreadable-item':
    'An ENVELOPE or BODYSTRUCTURE makes no sense: it counts as absent, the rest of the message does not.',
  'unreadable-response': 'A response cannot be read at all: it is passed over.',
} as const

/** A way in which a server got something wrong: a key of `QUIRKS`. */
export type Quirk = keyof typeof QUIRKS
