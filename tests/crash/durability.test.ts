// Durable before acknowledged, as the kernel saw it: between the last octet of a message and its acknowledgement lies a sync of everything that was written for it.
// `kill -9` cannot show this, as the page cache survives it.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { el } from '@aviso/xmpp'
import { dial, mailOf, openImap, openXmpp } from './peers.ts'
import { ANNA, BERT, DOMAIN, eventually, Folder, Server } from './server.ts'

const traceable = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0

/** One system call that has returned. */
interface Call {
  readonly name: string
  /** Arguments as strace prints them: file descriptors with their paths, strings up to some length. */
  readonly text: string
  readonly failed: boolean
}

/** The calls in the order in which they returned; one that writes to a socket counts from where it began. */
function callsOf(trace: string): readonly Call[] {
  const begun = new Map<string, string>()
  const calls: Call[] = []
  for (const line of trace.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    if (rest.endsWith('<unfinished ...>')) {
      begun.set(thread, rest.slice(0, -'<unfinished ...>'.length))
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)?.[1]
    const text = resumed === undefined ? rest : `${begun.get(thread) ?? ''}${resumed}`
    const name = /^(\w+)\(/.exec(text)?.[1]
    if (name !== undefined) calls.push({ name, text, failed: / = -1 /.test(text) })
  }
  return calls
}

/** Runs `act` under strace and answers the calls that the server made meanwhile. */
async function traced(server: Server, folder: string, act: () => Promise<void>): Promise<readonly Call[]> {
  const file = join(folder, `trace-${process.hrtime.bigint()}`)
  const calls =
    'read,write,writev,sendmsg,sendto,pwrite64,pwritev,fsync,fdatasync,rename,renameat,renameat2,link,linkat'
  const strace = spawn(
    'strace',
    ['-f', '-y', '-s', '100000', '-e', `trace=${calls}`, '-o', file, '-p', String(server.pid)],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  const ended = once(strace, 'close')
  try {
    // It has every thread when a call of one of them is in the file.
    strace.stderr.resume()
    const client = await dial(server.ports.smtp)
    await eventually('strace attaches', 10_000, () => {
      client.write('NOOP\r\n')
      return existsSync(file) && readFileSync(file, 'latin1').includes('NOOP') ? true : undefined
    })
    client.destroy()
    await act()
  } finally {
    strace.kill('SIGINT')
    await ended
  }
  return callsOf(readFileSync(file, 'latin1'))
}

const isWrite = ({ name }: Call): boolean => /^(?:write|writev|sendmsg|sendto|pwrite64|pwritev)$/.test(name)
const isSync = ({ name, failed }: Call): boolean => /^f(?:data)?sync$/.test(name) && !failed
const pathOf = ({ text }: Call): string | undefined => /^\w+\(\d+<([^>]*)>/.exec(text)?.[1]

/** The account of a database's log, by its folder. */
const accountOf = (path: string): string | undefined => /\/accounts\/\w+\/(\w+)\/account\.db-wal$/.exec(path)?.[1]

/** A journal has the account's call, with `mark` in it, and was synced after that was written. */
const isInJournal = (calls: readonly Call[], account: string, mark: string): boolean =>
  calls.some((call, i) => {
    const path = pathOf(call)
    if (path?.endsWith('.journal') !== true || !isWrite(call)) return false
    if (!call.text.includes(account) || !call.text.includes(mark)) return false
    return calls.slice(i + 1).some((later) => isSync(later) && pathOf(later) === path)
  })

/** What was asked for ends with it. */
const MARK = 'END-OF-THIS'

/**
 * Between the call that read `last` and the one that wrote `acknowledgement`: what was written to each file was synced afterwards. Answers those files, and the accounts that
 * have it: in their log, or in a journal with `mark`. A log alone may be written without a sync: what a journal had long before is committed there.
 */
function durable(
  calls: readonly Call[],
  last: string,
  acknowledgement: string,
  accounts: readonly string[],
  mark = MARK,
): Durable {
  const heard = calls.findIndex(({ name, text }) => name === 'read' && text.includes(last))
  assert.ok(heard >= 0, `the server read ${last}`)
  const said = calls.findIndex((call, i) => i > heard && isWrite(call) && call.text.includes(acknowledgement))
  assert.ok(said >= 0, `the server wrote ${acknowledgement}`)
  const between = calls.slice(heard + 1, said)
  const synced: string[] = []
  for (const [i, call] of between.entries()) {
    const path = pathOf(call)
    if (
      path === undefined ||
      !isWrite(call) ||
      !path.startsWith('/') ||
      !/\.db-wal$|\.journal$|\/data\/tmp\//.test(path)
    )
      continue
    const isSynced = between.slice(i + 1).some((later) => isSync(later) && pathOf(later) === path)
    assert.ok(isSynced || path.endsWith('.db-wal'), `${path} was written and not synced before ${acknowledgement}`)
    if (!isSynced) continue
    if (!synced.includes(path)) synced.push(path)
  }
  // A file that is named must have its name kept too: the folder is synced behind the rename.
  for (const [i, { text, name }] of between.entries()) {
    if (!name.startsWith('rename')) continue
    const target = text.split('"')[3] ?? ''
    const folder = target.slice(0, target.lastIndexOf('/'))
    assert.ok(
      between.slice(i + 1).some((later) => isSync(later) && pathOf(later) === folder),
      `${folder} was not synced before ${acknowledgement}`,
    )
  }
  return {
    files: synced,
    accounts: accounts.filter(
      (account) => isInJournal(between, account, mark) || synced.some((path) => accountOf(path) === account),
    ),
  }
}

interface Durable {
  readonly files: readonly string[]
  readonly accounts: readonly string[]
}

describe('what is acknowledged is on the disk', { skip: traceable ? false : 'needs strace' }, () => {
  const folder = new Folder('durability')
  let server: Server

  before(async () => {
    server = await Server.start({ folder: folder.path })
    await server.makeAccounts()
    // The folders and databases are there before, so that each test sees one transaction.
    const client = await openImap(server.ports, ANNA)
    await client.append('INBOX', mailOf('first', 400, ANNA, [ANNA]))
    await client.logout()
  })
  after(async () => {
    await server.stop()
    folder.remove()
  })

  /** The ids of all accounts. */
  const ids = (): readonly string[] => {
    const all = join(folder.path, 'data/accounts')
    return readdirSync(all).flatMap((part) => readdirSync(join(all, part)))
  }

  const smtp = async (size: number, to: readonly string[]): Promise<Durable> => {
    const calls = await traced(server, folder.path, async () => {
      const socket = await dial(server.ports.smtp)
      let heard = ''
      socket.setEncoding('latin1').on('data', (text: string) => (heard += text))
      const say = async (text: string | Buffer, answer: RegExp): Promise<void> => {
        heard = ''
        socket.write(text)
        await eventually(`an answer to ${String(text).slice(0, 20)}`, 20_000, () => answer.test(heard) || undefined)
      }
      await eventually('the greeting', 5000, () => heard.startsWith('220') || undefined)
      await say('EHLO peer.example\r\n', /^250 .*\r\n$/m)
      await say(`MAIL FROM:<${ANNA}>\r\n`, /^250/)
      for (const address of to) await say(`RCPT TO:<${address}>\r\n`, /^250/)
      await say('DATA\r\n', /^354/)
      socket.write(mailOf('durable', size, ANNA, to))
      await say('END-OF-THIS\r\n.\r\n', /^250/)
      socket.destroy()
    })
    // Of a large one the journal has the header alone.
    const mark = size > 262_144 ? 'Subject: durable' : MARK
    return durable(calls, 'END-OF-THIS\\r\\n.\\r\\n', '"250 2.', ids(), mark)
  }

  test('SMTP DATA: each recipient’s mail is in a log or a journal that is synced before 250', async () => {
    const { files, accounts } = await smtp(2000, [ANNA, BERT])
    assert.equal(accounts.length, 2, files.join('\n'))
  })

  test('SMTP DATA of a large mail: its file and the folder are synced before 250', async () => {
    const { files, accounts } = await smtp(400_000, [ANNA])
    assert.ok(
      files.some((file) => file.includes('/data/tmp/')),
      files.join('\n'),
    )
    assert.equal(accounts.length, 1, files.join('\n'))
  })

  test('IMAP APPEND and STORE', async () => {
    const client = await openImap(server.ports, ANNA)
    const appended = await traced(server, folder.path, async () => {
      await client.append('INBOX', Buffer.concat([mailOf('appended', 3000, ANNA, [ANNA]), Buffer.from('END-OF-THIS')]))
    })
    assert.equal(durable(appended, 'END-OF-THIS', 'APPENDUID', ids()).accounts.length, 1)
    await client.select('INBOX')
    const stored = await traced(server, folder.path, async () => {
      await client.command('STORE 1 +FLAGS (END-OF-THIS)')
    })
    assert.equal(durable(stored, 'END-OF-THIS', 'OK', ids()).accounts.length, 1)
    await client.logout()
  })

  test('XMPP: a message to an account that is offline, before the answer to a later ping', async () => {
    const client = await openXmpp(server.ports, ANNA, 'durable', () => {})
    const calls = await traced(server, folder.path, async () => {
      client.send(el('message', { type: 'chat', to: BERT }, el('body', {}, 'END-OF-THIS')))
      await client.request(
        el('iq', { type: 'get', to: DOMAIN, id: 'THE-PING' }, el('ping', { xmlns: 'urn:xmpp:ping' })),
      )
    })
    assert.ok(durable(calls, 'END-OF-THIS', 'THE-PING', ids()).accounts.length >= 1)
    await client.close()
  })
})
