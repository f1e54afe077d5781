// Octets that no client should send, and good ones cut where no one would: nothing throws, hangs, grows or is answered twice.

import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { cut, fuzz, mutate, type Random, sampleWithParts } from '@aviso/mime/testing'
import { commands } from '../src/commands/index.ts'
import { renderMessage } from '../src/render/message.ts'
import { ImapServerSession, LiteralBudget, type ImapServerOptions } from '../src/index.ts'
import { MemoryMail } from '../src/testing/index.ts'
import { CommandReader, type ReaderEvent } from '../src/wire/command-reader.ts'
import { CommandError } from '../src/wire/errors.ts'
import { Parser } from '../src/wire/parser.ts'
import { fill } from './harness.ts'

const LONG = { timeout: 3_600_000 }
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Arguments as clients send them; `#` is a number, `@` a mailbox, `$` a string, `~` a message. */
const COMMANDS = [
  'NOOP',
  'CAPABILITY',
  'ID ("name" "com.apple.mail" "event" NIL)',
  'ENABLE CONDSTORE UTF8=ACCEPT',
  'ENABLE QRESYNC IMAP4rev2',
  'ENABLE UIDONLY',
  'SELECT @ (QRESYNC (1001 # 1:# (1:# 1:#)))',
  'FETCH 1:* (MODSEQ EMAILID PREVIEW (LAZY) BINARY.SIZE[#] BINARY.PEEK[1]<#.#>) (CHANGEDSINCE # VANISHED)',
  'UID FETCH 1:* (FLAGS SAVEDATE) (PARTIAL -1:-#)',
  'STORE 1:* (UNCHANGEDSINCE #) FLAGS (kw)',
  'UIDBATCHES 500',
  'SEARCH RETURN (SAVE PARTIAL 1:#) TEXT $',
  'UID SEARCH RETURN (UPDATE COUNT) UID $ MODSEQ #',
  'ESEARCH IN (personal subtree @) RETURN (ALL) SUBJECT $',
  'SORT (REVERSE DATE SUBJECT) UTF-8 TEXT $',
  'UID SORT RETURN (ALL PARTIAL 1:#) (DISPLAYFROM SIZE) UTF-8 ALL',
  'THREAD REFERENCES UTF-8 SUBJECT $',
  'CANCELUPDATE "t#"',
  'NOTIFY SET STATUS (SELECTED (MessageNew (FLAGS UID) MessageExpunge FlagChange)) (subtree @ (MessageNew MessageExpunge))',
  'NOTIFY NONE',
  'GETQUOTAROOT @',
  'GETMETADATA (MAXSIZE # DEPTH infinity) @ (/private/comment /shared/x)',
  'SETMETADATA @ (/private/comment $ /private/y NIL)',
  'GETACL @',
  'MYRIGHTS @',
  'LIST "" "*" RETURN (SPECIAL-USE METADATA (/private/comment) MYRIGHTS)',
  'CREATE @ (USE (\\Archive))',
  'SELECT @',
  'EXAMINE @',
  'CLOSE',
  'UNSELECT',
  'CREATE @',
  'DELETE @',
  'RENAME @ @',
  'SUBSCRIBE @',
  'LIST (SUBSCRIBED) "" ("*" "%") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))',
  'LSUB "" *',
  'STATUS @ (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE)',
  'APPEND @ (\\Seen kw) "01-Feb-2026 10:20:30 +0100" ~',
  'APPEND @ ~ (\\Draft) ~',
  'APPEND @ CATENATE (TEXT ~ URL "/INBOX/;UID=#/;SECTION=HEADER" TEXT ~)',
  'FETCH #:* (FLAGS UID ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)',
  'UID FETCH #,#:# (BODY.PEEK[HEADER.FIELDS (From $)]<0.#> BODY[1.2.MIME] BODY[TEXT])',
  'FETCH * FULL',
  'STORE #:# +FLAGS.SILENT (\\Deleted $x)',
  'UID STORE # -FLAGS (\\Deleted)',
  'EXPUNGE',
  'UID EXPUNGE #:#',
  'COPY #,# @',
  'UID MOVE #:* @',
  'REPLACE # @ ~',
  'UID REPLACE # @ (\\Seen) ~',
  'SEARCH CHARSET UTF-8 OR (SUBJECT $ NOT BODY $) UID #:*',
  'UID SEARCH RETURN (MIN MAX COUNT ALL) SINCE 1-Feb-2026 LARGER # KEYWORD kw',
  'IDLE\r\nDONE',
  'NAMESPACE',
  'UNAUTHENTICATE',
  'LOGIN anna secret',
  'LOGIN anna $',
  'AUTHENTICATE PLAIN AGFubmEAc2VjcmV0',
  'STARTTLS',
  'COMPRESS DEFLATE',
  'LOGOUT',
] as const

const literal = (octets: Buffer, random: Random): string =>
  `${random.once(6) ? '~' : ''}{${octets.length}+}\r\n${octets.toString('latin1')}`

function argument(kind: string, random: Random): string {
  switch (kind) {
    case '#':
      return String(random.below(9))
    case '@':
      return random.pick(['INBOX', 'box', '"a b"', 'missing', '&AOQ-', literal(latin1('box'), random)])
    case '$':
      return random.pick(['x', '""', '"a \\" b"', 'NIL', literal(latin1('a\r\nb OK'), random)])
    default:
      return literal(Buffer.from(mutate(latin1('Subject: x\r\n\r\nt9 OK not me\r\n'), random)), random)
  }
}

/** Some commands, each with a tag of its own. */
function transcript(random: Random): { tags: string[]; octets: Buffer } {
  const lines = random.once(10) ? [] : ['t0 LOGIN anna secret\r\n', 't1 SELECT INBOX\r\n']
  const tags = lines.map((_, i) => `t${i}`)
  for (let count = 1 + random.below(12); count > 0; count--) {
    const tag = `t${tags.length}`
    tags.push(tag)
    const line = `${tag} ${random.pick(COMMANDS)}\r\n`.replace(/[#@$~](?!x)/g, (kind) => argument(kind, random))
    lines.push(random.once(3) ? Buffer.from(mutate(latin1(line), random)).toString('latin1') : line)
  }
  const octets = latin1(lines.join(''))
  return { tags, octets: random.once(4) ? Buffer.from(mutate(octets, random)) : octets }
}

/** What the reader makes of the pieces; literals up to 1000 octets are kept. */
function read(pieces: readonly Uint8Array[]): string[] {
  const reader = new CommandReader({ line: 500, skip: 3000 })
  const out: string[] = []
  for (const piece of pieces) {
    reader.push(piece)
    for (let event: ReaderEvent | undefined; (event = reader.next()) !== undefined;) {
      if (event.kind === 'literal') {
        if (event.size <= 1000) reader.accept()
        else reader.refuse({ status: 'NO', code: undefined, message: 'no' })
      } else if (event.kind === 'command') {
        out.push(
          event.segments
            .map((segment) => Buffer.from(segment instanceof Uint8Array ? segment : segment.octets).toString('latin1'))
            .join('|'),
        )
      } else out.push(event.kind === 'refused' ? `refused ${Buffer.from(event.start).toString('latin1')}` : event.kind)
    }
  }
  out.push(reader.idle ? 'idle' : 'waiting')
  return out
}

test('lexer: however octets are cut, the same commands come out of them', LONG, async (t) => {
  await fuzz(t, (random) => {
    const { octets } = transcript(random)
    const whole = read([octets])
    assert.deepEqual(read(cut(octets, random)), whole)
    const at = random.below(octets.length)
    assert.deepEqual(read([octets.subarray(0, at), octets.subarray(at)]), whole)
    // Nothing comes out that did not go in.
    assert.ok(whole.reduce((sum, text) => sum + text.length, 0) <= octets.length + 20 * whole.length)
  })
})

test('parser: whatever stands behind a command is taken or BAD', LONG, async (t) => {
  const names = [...commands.keys()]
  await fuzz(t, (random) => {
    const line = `${random.pick(COMMANDS)}`
      .replace(/^[A-Z]+( (FETCH|STORE|SEARCH|MOVE|EXPUNGE|REPLACE))?/, '')
      .replace(/[#@$](?!x)/g, (kind) => argument(kind, random))
    const [text = '', ...rest] = line.split('~')
    const segments = [
      mutate(latin1(text), random),
      ...rest.flatMap((after) => [{ octets: latin1('abc'), binary: random.once(3) }, mutate(latin1(after), random)]),
    ]
    const name = random.pick(names)
    try {
      commands.get(name)?.prepare(new Parser(segments, random.once(2)))
    } catch (error) {
      assert.ok(error instanceof CommandError, `${name}: ${String(error)}`)
    }
  })
})

/** A connection in memory that takes what it is given and keeps what it hears. */
class Line extends Duplex {
  heard: Buffer[] = []
  override _read(): void {
    // Pushed from outside.
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.heard.push(chunk)
    done()
  }
}

/** Says the pieces to a server, each a turn later, then ends. Answers all that was heard. */
async function converse(pieces: readonly Uint8Array[], options: Partial<ImapServerOptions> = {}): Promise<string> {
  const mail = new MemoryMail({ name: 'anna', now: () => Date.UTC(2026, 1, 3), mailboxes: { box: undefined } })
  await fill(mail, 3)
  await mail.open().append('INBOX', [{ bytes: sampleWithParts(), flags: ['kw'] }])
  const defects: unknown[] = []
  const line = new Line()
  const session = new ImapServerSession(line, {
    hostname: 'mail.example.org',
    login: async (user, password) =>
      user === 'anna' && password === 'secret' ? { authcid: user, authzid: user } : undefined,
    open: async () => mail.open(),
    log: (event, { error }) => void (event === 'defect' && defects.push(error)),
    ...options,
  })
  session.start()
  for (const piece of pieces) {
    line.push(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  line.push(null)
  const hang = new AbortController()
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 20_000 && !hang.signal.aborted; turn++)
      await new Promise((resolve) => setImmediate(resolve))
    assert.ok(hang.signal.aborted, 'hangs')
  }
  await Promise.race([session.closed.then(() => hang.abort()), turns()])
  assert.deepEqual(defects, [])
  assert.equal(mail.watchers, 0)
  return Buffer.concat(line.heard).toString('latin1')
}

/** The lines of a reply stream, literals taken out. Throws when it is none. */
function linesOf(text: string): string[] {
  const lines: string[] = []
  let line = ''
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\r\n', at)
    assert.ok(end >= 0, `no line: ${JSON.stringify(text.slice(at, at + 80))}`)
    line += text.slice(at, end)
    at = end + 2
    const mark = /~?\{(\d+)\}$/.exec(line)
    if (mark === null || line.startsWith('+')) {
      lines.push(line)
      line = ''
    } else at += Number(mark[1])
  }
  assert.equal(line, '')
  return lines
}

test(
  'session: whatever is said, every tag is answered once at most, in whole lines, and nothing is left behind',
  LONG,
  async (t) => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    let base: number | undefined
    let rounds = 0
    await fuzz(t, async (random) => {
      const { octets } = transcript(random)
      const literalBudget = new LiteralBudget(random.pick([100, 70_000]))
      const heard = await converse(cut(octets, random), {
        limits: { literal: 5000, skip: 20_000, ...(random.once(3) ? { messageLimit: 2 } : {}) },
        literalBudget,
        literalMinus: random.once(5),
        busy: () => true,
      })
      assert.equal(literalBudget.used, 0)
      const said = octets.toString('latin1')
      // Behind COMPRESS, octets are not lines.
      const plain = /^\S+ OK DEFLATE is on\r\n/m.exec(heard)
      const answers = new Map<string, number>()
      for (const line of linesOf(plain === null ? heard : heard.slice(0, plain.index + plain[0].length))) {
        const match = /^(\S+) (OK|NO|BAD) /.exec(line)
        assert.ok(match !== null || /^(\* |\+ )/.test(line), line)
        if (match?.[1] !== undefined && match[1] !== '*') answers.set(match[1], (answers.get(match[1]) ?? 0) + 1)
      }
      for (const [tag, count] of answers)
        assert.ok(count <= said.split(tag).length - 1, `${tag} was answered ${count} times`)
      if (++rounds % 200 === 0) {
        collect()
        const used = process.memoryUsage().heapUsed
        base ??= used
        assert.ok(used < base + 30_000_000, `memory grows: ${base} ${used}`)
      }
    })
  },
)

test('5: cut at every single place, a conversation is the same', async () => {
  const script = latin1(
    't0 LOGIN anna {6+}\r\nsecret\r\nb APPEND INBOX (\\Seen) "01-Feb-2026 00:00:00 +0130" {5+}\r\nA: b\n {7+}\r\nC: d\r\n\r\r\n' +
      'c APPEND INBOX CATENATE (TEXT {3+}\r\nX:  URL {13+}\r\n/INBOX/;UID=1 TEXT {0+}\r\n)\r\nd APPEND x ~{3+}\r\na\0b (\\Recent) {20}\r\n' +
      '\r\ne SELECT INBOX\r\nf UID REPLACE 1 INBOX {4+}\r\nE: f\r\ng FETCH 1:* (UID BODY.PEEK[])\r\nh NONSENSE {2+}\r\n\r\n\r\ni IDLE\r\ndOnE\r\nj LOGOUT\r\n',
  )
  const whole = await converse([script])
  assert.match(whole, /^j OK/m)
  for (let at = 1; at < script.length; at++)
    assert.equal(await converse([script.subarray(0, at), script.subarray(at)]), whole, `cut at ${at}`)
})

test('renderers: any message has an ENVELOPE and a BODYSTRUCTURE', LONG, async (t) => {
  await fuzz(t, (random) => {
    let message = sampleWithParts()
    for (let times = 1 + random.below(3); times > 0; times--) message = mutate(message, random)
    const { envelope, bodyStructure, body } = renderMessage(message)
    for (const rendered of [envelope, bodyStructure, body]) {
      assert.equal(rendered[0], 0x28)
      assert.equal(rendered.at(-1), 0x29)
      linesOf(`* 1 FETCH (X ${Buffer.from(rendered).toString('latin1')})\r\n`)
    }
  })
})
