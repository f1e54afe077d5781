// Names of mailboxes and names of files: from one to the other and back, and never out of their folder.

import { decodeMutf7, encodeMutf7 } from '@aviso/imap'

/** Characters that a mailbox name cannot have, and the separator. */
const NOT_IN_NAMES = /[\u0000-\u001f\u007f-\u009f\u2028\u2029%*/]/g

/** One level of a mailbox name, of what another program calls a folder: what no name can have becomes `_`. */
export function levelOf(text: string): string {
  const level = text.toWellFormed().normalize('NFC').replace(NOT_IN_NAMES, '_')
  return level === '' ? '_' : level
}

/** The level that a file or folder name stands for: modified UTF-7 where it is that, what `fileLevel` encoded decoded. */
export function levelOfFile(name: string): string {
  return levelOf(
    (decodeMutf7(name) ?? name).replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
  )
}

/** `.A.B` of a Maildir++ as levels; undefined for what is no folder of it. */
export function maildirLevels(name: string): string[] | undefined {
  if (!name.startsWith('.') || name === '.' || name === '..') return undefined
  const levels = name.slice(1).split('.')
  return levels.some((level) => level === '') ? undefined : levels.map(levelOfFile)
}

/** A level as a file name that every system can have, with the characters in `more` encoded too; `%` is in no mailbox name, so `levelOfFile` gets it back. */
export function fileLevel(level: string, more = ''): string {
  let out = ''
  for (const character of level)
    out +=
      character === '/' || character === '\\' || character === ':' || character < ' ' || more.includes(character)
        ? `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
        : character
  // A name with a dot in front is hidden, `.` and `..` are other folders.
  return out.startsWith('.') ? `%2E${out.slice(1)}` : out
}

/** The folder of a mailbox in a Maildir++: '' for INBOX. Dovecot reads the names as modified UTF-7. */
export function maildirFolder(mailbox: string): string {
  if (mailbox === 'INBOX') return ''
  return `.${mailbox
    .split('/')
    .map((level) => encodeMutf7(fileLevel(level, '.')))
    .join('.')}`
}

/** The path of a mailbox's file in Thunderbird's layout: `A.sbd/B`. */
export function mboxPath(mailbox: string): string {
  const levels = mailbox.split('/').map((level) => {
    const name = fileLevel(level)
    // What Thunderbird and this programme take for something else than a folder.
    const suffix = /\.(?:sbd|msf|dat|html|json|mbox|mbx|eml|aviso)$/i.exec(name)
    return suffix === null ? name : `${name.slice(0, suffix.index)}%2E${name.slice(suffix.index + 1)}`
  })
  return [...levels.slice(0, -1).map((level) => `${level}.sbd`), levels.at(-1) ?? ''].join('/')
}
