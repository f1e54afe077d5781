// RFC 5256 §2.1: the base subject, by which messages of one thread are alike.

import { decodeWords } from './words.ts'

/** Longer subjects are cut before they are looked at. */
const SUBJECT_CHARACTERS = 2000

/** The base subject of a Subject field: without `Re:`, `Fwd:`, `[list]` and `(fwd)`, white space made single. Case is kept: compare without it. */
export function baseSubject(text: string): string {
  // (1) Decoded, white space made single.
  let subject = singleSpaced(decodeWords(text.slice(0, SUBJECT_CHARACTERS)))
  for (;;) {
    // (2) Trailers.
    for (;;) {
      if (/\(fwd\)$/i.test(subject)) subject = subject.slice(0, -5).trimEnd()
      else break
    }
    // (3) to (5) Leaders and blobs, as long as something changes.
    for (;;) {
      const leader = leaderLength(subject)
      if (leader > 0) {
        subject = subject.slice(leader).trimStart()
        continue
      }
      const blob = blobLength(subject, 0)
      // A blob goes only when a base is left.
      if (blob > 0 && subject.slice(blob).trim() !== '') {
        subject = subject.slice(blob).trimStart()
        continue
      }
      break
    }
    // (6) `[Fwd: ...]` around the whole.
    if (/^\[fwd:/i.test(subject) && subject.endsWith(']')) {
      subject = subject.slice(5, -1).trim()
      continue
    }
    return subject
  }
}

/** The text with each run of white space made one space, and none at its ends. */
export const singleSpaced = (text: string): string => text.replace(/\s{2,}|[^\S ]/g, ' ').trim()

/** Octets of `*subj-blob ("re" / "fw" / "fwd") [subj-blob] ":"` at the beginning; 0 for none. */
function leaderLength(subject: string): number {
  let at = 0
  for (let blob = blobLength(subject, at); blob > 0; blob = blobLength(subject, at)) at += blob
  const word = /^(?:re|fwd?)\s?/i.exec(subject.slice(at, at + 4))
  if (!word) return 0
  at += word[0].length
  at += blobLength(subject, at)
  return subject[at] === ':' ? at + 1 : 0
}

/** Octets of `"[" *BLOBCHAR "]" *WSP` at a place; 0 for none. */
function blobLength(subject: string, at: number): number {
  if (subject[at] !== '[') return 0
  const match = BLOB.exec(subject.slice(at, at + 256))
  return match ? match[0].length : 0
}

const BLOB = /^\[[^[\]]*\]\s*/
