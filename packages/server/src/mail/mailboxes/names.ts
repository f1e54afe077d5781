// RFC 9051 §5.1: names of mailboxes. Inside, a name is canonical: NFC, levels separated by `/`, INBOX spelt in capitals.

import { StoreError } from '../../store/contracts.ts'

const DEPTH = 16
const LEVEL_OCTETS = 255

/** The canonical spelling. INBOX, alone or as the first level, is the same in any case. */
export function canonicalName(name: string): string {
  const normal = name.normalize('NFC')
  return /^inbox(?:\/|$)/i.test(normal) ? 'INBOX' + normal.slice(5) : normal
}

/** The canonical spelling of a name that a mailbox may have. Throws `StoreError('CANNOT')`. */
export function validName(name: string): string {
  // Where nearly all mail goes.
  if (name === 'INBOX') return name
  const fault = nameFault(name)
  if (fault !== undefined) throw new StoreError('CANNOT', fault)
  return canonicalName(name)
}

function nameFault(name: string): string | undefined {
  if (name === '') return 'A mailbox needs a name'
  if (name.length > DEPTH * (LEVEL_OCTETS + 1)) return 'The name is too long'
  if (!name.isWellFormed()) return 'The name is not valid Unicode'
  // Control characters and line separators (RFC 5198 §2), and the wildcards of LIST.
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)) return 'The name has control characters'
  if (/[%*]/.test(name)) return 'A name cannot have % or *'
  const levels = name.normalize('NFC').split('/')
  if (levels.length > DEPTH) return `Names have ${DEPTH} levels at most`
  for (const level of levels) {
    if (level === '') return 'A level of the name is empty'
    if (Buffer.byteLength(level) > LEVEL_OCTETS) return `A level of a name has ${LEVEL_OCTETS} octets at most`
  }
  return undefined
}

/** `a/b/c` → `a`, `a/b`. */
export function parents(name: string): string[] {
  const levels = name.split('/')
  return levels.slice(1).map((_, i) => levels.slice(0, i + 1).join('/'))
}
