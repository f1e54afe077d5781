// The control socket, as a client sees it that does what clients do, and what they should not.

import assert from 'node:assert/strict'
import { statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { connectControl, controlSocket, serveControl } from '../../src/admin/control.ts'
import { Lines } from '../../src/admin/lines.ts'
import { type AdminContext, OperationError } from '../../src/admin/operations.ts'
import { ConfigError } from '../../src/kernel/config/load.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { AccountError } from '../../src/accounts/errors.ts'
import { temporaryFolder } from '../house/fixture.ts'
import { testScope } from '../fixtures/scope.ts'

async function serve(t: TestContext, running: Partial<NonNullable<AdminContext['running']>> = {}) {
  const folder = temporaryFolder(t)
  const { log, lines } = recordingLog()
  const scope = testScope({ log })
  t.after(() => scope.close())
  const context = {
    accounts: { listDomains: async () => [{ name: 'a\u2028b.example' }, { name: 'b\u00fccher.example' }] },
    running: { status: async () => ({ up: true }), reload: async () => {}, stop: () => {}, ...running },
  } as unknown as AdminContext
  await serveControl(scope, folder, () => context)
  return { folder, scope, lines }
}

/** Sends these octets, and gives all lines that come back until the other side hangs up or `count` have come. */
function raw(folder: string, octets: readonly (string | Uint8Array)[], count: number): Promise<readonly unknown[]> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(controlSocket(folder))
    let text = ''
    const done = (): void => {
      socket.destroy()
      const lines = text.split('\n').slice(0, -1)
      resolve(lines.map((line): unknown => JSON.parse(line)))
    }
    socket.on('error', reject).on('close', done)
    socket.setEncoding('utf8')
    socket.on('data', (piece: string) => {
      text += piece
      if (text.split('\n').length > count) done()
    })
    void (async () => {
      for (const piece of octets) {
        socket.write(piece)
        await new Promise((next) => setImmediate(next))
      }
    })()
  })
}

describe('the control socket', () => {
  test('is for its owner alone, and takes the place of one that a crash left', async (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(controlSocket(folder), '')
    const scope = testScope()
    const mask = process.umask()
    await serveControl(scope, folder, () => ({}) as AdminContext)
    assert.equal(statSync(controlSocket(folder)).mode & 0o777, 0o600)
    assert.equal(process.umask(), mask)
    await scope.close()
    assert.equal(await connectControl(folder), undefined)
  })

  test('a path that is too long for a socket is told as such', async (t) => {
    const folder = join(temporaryFolder(t), 'x'.repeat(120))
    await assert.rejects(
      serveControl(testScope(), folder, () => ({}) as AdminContext),
      /Choose a data folder with a shorter path/,
    )
    assert.equal(await connectControl(folder), undefined)
  })

  test('answers each request in turn, whatever stands in it', async (t) => {
    const { folder, lines } = await serve(t)
    const admin = await connectControl(folder)
    assert.ok(admin)
    const [domains, status] = await Promise.all([admin.ask('domain.list', undefined), admin.ask('status', undefined)])
    assert.deepEqual(
      domains.map(({ name }) => name),
      ['a\u2028b.example', 'b\u00fccher.example'],
    )
    assert.deepEqual(status, { up: true })
    await admin.close()
    await assert.rejects(admin.ask('status', undefined), { code: 'unavailable' })
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error'),
      [],
    )
  })

  test('what is no request is answered as such, and harms nobody', async (t) => {
    const { folder } = await serve(t)
    const bad = ['null', '5', '[]', '{}', 'nonsense', '{"id":"1","name":"status"}', '{"id":1}', '']
    const answers = await raw(folder, [bad.map((line) => `${line}\n`).join('')], bad.length)
    assert.equal(answers.length, bad.length)
    for (const answer of answers)
      assert.deepEqual(answer, { id: 0, error: { code: 'invalid', message: 'a request is one line of JSON' } })
    const [unknown, inherited] = await raw(
      folder,
      ['{"id":1,"name":"no.such","args":{}}\n{"id":2,"name":"constructor"}\n'],
      2,
    )
    assert.match(
      JSON.stringify(unknown),
      /"id":1,"error":{"code":"invalid","message":"there is no operation 'no\.such'/,
    )
    assert.match(JSON.stringify(inherited), /"id":2,"error":{"code":"invalid"/)
  })

  test('a character that comes in two pieces is one character', async (t) => {
    const { folder } = await serve(t)
    const request = Buffer.from('{"id":7,"name":"b\u00fccher"}\n')
    const cut = request.indexOf(0xc3) + 1
    const [answer] = await raw(folder, [request.subarray(0, cut), request.subarray(cut)], 1)
    assert.match(JSON.stringify(answer), /b\u00fccher/)
  })

  test('a line without end is cut off with a word', async (t) => {
    const { folder } = await serve(t)
    const answers = await raw(folder, [Buffer.alloc(16 * 1024 * 1024 + 1, 0x61)], 2)
    assert.deepEqual(answers, [{ id: 0, error: { code: 'invalid', message: 'the request is too long' } }])
  })

  test('a client that vanishes in the middle is no error', async (t) => {
    let answered: () => void = () => {}
    const asked = new Promise<void>((resolve) => (answered = resolve))
    let finish: () => void = () => {}
    const gate = new Promise<void>((resolve) => (finish = resolve))
    const { folder, lines } = await serve(t, {
      async reload() {
        answered()
        await gate
      },
    })
    const socket = connect(controlSocket(folder))
    socket.write('{"id":1,"name":"reload"}\n')
    await asked
    socket.destroy()
    await new Promise((resolve) => socket.once('close', resolve))
    finish()
    const admin = await connectControl(folder)
    assert.deepEqual(await admin?.ask('status', undefined), { up: true })
    await admin?.close()
    assert.deepEqual(
      lines.filter(({ level }) => level === 'error'),
      [],
    )
  })

  test('failures keep their code; a defect is logged with its cause, a stranger’s code is none', async (t) => {
    const failures: Error[] = [
      new AccountError('not-found', 'no such account'),
      new ConfigError([{ message: 'bad' }]),
      Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }),
      new TypeError('a defect'),
    ]
    const { folder, lines } = await serve(t, { reload: () => Promise.reject(failures.shift() ?? new Error('none')) })
    const admin = await connectControl(folder)
    assert.ok(admin)
    for (const code of ['not-found', 'config', 'internal', 'internal'])
      await assert.rejects(
        admin.ask('reload', undefined),
        (error) => error instanceof OperationError && error.code === code,
      )
    await admin.close()
    assert.equal(lines.filter(({ msg }) => msg === 'an operation failed').length, 2)
  })

  test('a server that goes away ends those who wait', async (t) => {
    let asked: () => void = () => {}
    const busy = new Promise<void>((resolve) => (asked = resolve))
    const { folder, scope } = await serve(t, {
      reload() {
        asked()
        return new Promise(() => {})
      },
    })
    const admin = await connectControl(folder)
    assert.ok(admin)
    const waiting = assert.rejects(admin.ask('reload', undefined), { code: 'unavailable' })
    await busy
    await scope.close()
    await waiting
  })

  test('a server that speaks nonsense is hung up on', async (t) => {
    const folder = temporaryFolder(t)
    const server = createServer((socket) => void socket.end('HTTP/1.1 400\n'))
    await new Promise<void>((resolve) => server.listen(controlSocket(folder), resolve))
    t.after(() => server.close())
    const admin = await connectControl(folder)
    assert.ok(admin)
    await assert.rejects(admin.ask('status', undefined), { code: 'unavailable' })
  })
})

test('lines: any cut of the text gives the same lines', () => {
  const text = 'a\n\nb\u2028c\r\nlast'
  for (let size = 1; size <= text.length; size++) {
    const lines = new Lines(10)
    const got: string[] = []
    for (let at = 0; at < text.length; at += size) got.push(...lines.push(text.slice(at, at + size)))
    assert.deepEqual(got, ['a', '', 'b\u2028c\r'])
    assert.ok(!lines.overflown)
  }
  const short = new Lines(3)
  assert.deepEqual(short.push('abc\nabcd\nab\n'), ['abc'])
  assert.ok(short.overflown)
  assert.deepEqual(short.push('x\n'), [])
})
