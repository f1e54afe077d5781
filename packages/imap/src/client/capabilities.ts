// RFC 9051 §6.1.1: what the server offers now.

/** RFC 9051 appendix E: what IMAP4rev2 holds without naming it. */
const REV2 = new Set([
  'ENABLE',
  'ESEARCH',
  'IDLE',
  'LIST-EXTENDED',
  'LIST-STATUS',
  'LITERAL-',
  'MOVE',
  'NAMESPACE',
  'SASL-IR',
  'SEARCHRES',
  'SPECIAL-USE',
  'STATUS=SIZE',
  'UIDPLUS',
  'UNSELECT',
])

/** What the server offers at this moment: it changes with TLS, login and ENABLE (RFC 9051 §6.1.1). */
export class Capabilities {
  /** In capitals, as announced. */
  readonly names: ReadonlySet<string>
  readonly #rev2: boolean

  /** `rev2`: IMAP4rev2 was enabled. */
  constructor(names: Iterable<string>, rev2 = false) {
    this.names = new Set(Array.from(names, (name) => name.toUpperCase()).filter((name) => name !== ''))
    this.#rev2 = rev2 || (this.names.has('IMAP4REV2') && !this.names.has('IMAP4REV1'))
  }

  /** True when it is offered, by name or as part of IMAP4rev2. QRESYNC brings CONDSTORE along (RFC 7162 §3.2.3). */
  has(name: string): boolean {
    const wanted = name.toUpperCase()
    if (this.names.has(wanted) || (this.#rev2 && REV2.has(wanted))) return true
    return wanted === 'CONDSTORE' && this.names.has('QRESYNC')
  }

  /** What stands behind `name=`, for all of that name: mechanisms of AUTH, algorithms of THREAD. */
  values(name: string): string[] {
    const start = `${name.toUpperCase()}=`
    return [...this.names].filter((one) => one.startsWith(start)).map((one) => one.slice(start.length))
  }

  /** The number behind `name=`. */
  number(name: string): number | undefined {
    const value = this.values(name)[0]
    return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
  }
}
