// Uploaded files (XEP-0363) as clients and browsers see them.

import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Element } from '@aviso/xmpp'
import { Files } from '../../src/chat/files/shelf.ts'
import { ticketOf } from '../../src/chat/files/slots.ts'
import {
  ANNA,
  BERT,
  UPLOAD,
  SERVICE,
  DAY,
  open,
  wish,
  slot,
  ask,
  put,
  upload,
  namesIn,
  onDisk,
  admin,
  PNG,
} from './file-town.ts'
import type { Peer } from './house.ts'

test('a picture is found, put, and got by everybody who knows where', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const items = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#items'/>`, 'example.org')
  assert.ok(items.toString().includes(`jid='${SERVICE}'`), items.toString())
  const info = (await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, SERVICE)).toString()
  for (const part of [UPLOAD, `category='store'`, 'max-file-size', String(100 * 1024 * 1024), 'purpose:0#ephemeral'])
    assert.ok(info.includes(part), part)

  const given = await slot(anna, 'très cool.png', PNG.length, 'image/png')
  assert.match(given.path, /^\/files\/[\w-]{24}\/tr%C3%A8s%20cool\.png$/)
  assert.equal((await ask(town, 'GET', given.path)).status, 404)
  const done = await put(town, given, PNG, { 'content-type': 'image/png' })
  assert.equal(done.status, 201)

  const got = await ask(town, 'GET', given.path)
  assert.equal(got.status, 200)
  assert.deepEqual(got.body, PNG)
  assert.equal(got.headers['content-type'], 'image/png')
  assert.equal(got.headers['content-length'], String(PNG.length))
  assert.equal(got.headers['x-content-type-options'], 'nosniff')
  assert.match(String(got.headers['content-security-policy']), /default-src 'none'.*sandbox/)
  assert.equal(
    got.headers['content-disposition'],
    `inline; filename="tr_s cool.png"; filename*=UTF-8''tr%C3%A8s%20cool.png`,
  )
  const head = await ask(town, 'HEAD', given.path)
  assert.equal(head.headers['content-length'], String(PNG.length))
  assert.equal(head.body.length, 0)
  assert.equal((await ask(town, 'GET', given.path, { 'if-none-match': String(got.headers.etag) })).status, 304)

  const [file] = await admin(town.house).list({})
  assert.deepEqual(
    { owner: file?.owner, name: file?.name, width: file?.width, height: file?.height },
    { owner: ANNA, name: 'très cool.png', width: 640, height: 480 },
  )
})

test('a part of a file is given, the end of it, and none where there is none', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const path = await upload(town, anna, 'song.ogg', '0123456789', 'audio/ogg')
  const part = async (range: string, more = {}) => {
    const { status, body, headers } = await ask(town, 'GET', path, { range, ...more })
    return `${status} ${body.toString()} ${String(headers['content-range'])}`
  }
  assert.equal(await part('bytes=2-4'), '206 234 bytes 2-4/10')
  assert.equal(await part('bytes=7-'), '206 789 bytes 7-9/10')
  assert.equal(await part('bytes=-3'), '206 789 bytes 7-9/10')
  assert.equal(await part('bytes=0-99'), '206 0123456789 bytes 0-9/10')
  assert.equal(await part('bytes=10-'), '416  bytes */10')
  assert.equal(await part('bytes=-0'), '416  bytes */10')
  for (const ignored of ['bytes=4-2', 'bytes=1-2,4-5', 'lines=1-2', 'bytes=a-b'])
    assert.equal(await part(ignored), '200 0123456789 undefined')
  const { headers } = await ask(town, 'HEAD', path)
  assert.equal(await part('bytes=2-4', { 'if-range': headers.etag }), '206 234 bytes 2-4/10')
  assert.equal(await part('bytes=2-4', { 'if-range': '"other"' }), '200 0123456789 undefined')
})

test('what could hold scripts is offered to be saved, whatever it says it is', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const shown = async (name: string, type?: string): Promise<string> => {
    const { headers } = await ask(town, 'GET', await upload(town, anna, name, '<script>alert(1)</script>', type))
    return `${String(headers['content-disposition']).split(';')[0]} ${String(headers['content-type'])}`
  }
  assert.equal(await shown('a.html', 'text/html'), 'attachment text/html')
  assert.equal(await shown('a.svg', 'image/svg+xml'), 'attachment image/svg+xml')
  assert.equal(await shown('a.xhtml', 'application/xhtml+xml'), 'attachment application/xhtml+xml')
  assert.equal(await shown('a.bin'), 'attachment application/octet-stream')
  assert.equal(await shown('a.txt', 'Text/Plain; charset=koi8-r'), 'inline text/plain; charset=utf-8')
})

test('lies about size and type, forged and foreign tickets, and slots of the past are refused', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const bert = await town.house.arrive(BERT, 'hill')
  const given = await slot(anna, 'a.txt', 5, 'text/plain')
  const other = await slot(bert, 'b.txt', 5, 'text/plain')
  const status = async (...args: Parameters<typeof put>): Promise<number> => (await put(...args)).status
  assert.equal(await status(town, given, 'longer than that'), 413)
  assert.equal(await status(town, given, 'less'), 400)
  assert.equal(await status(town, given, 'hello', { 'content-type': 'text/html' }), 415)
  assert.equal(await status(town, given, 'hello', { 'content-encoding': 'gzip' }), 415)
  assert.equal(await status(town, { ...given, authorization: '' }, 'hello'), 403)
  assert.equal(await status(town, { ...given, authorization: 'Bearer x.y' }, 'hello'), 403)
  assert.equal(await status(town, { ...given, authorization: other.authorization }, 'hello'), 403)
  const id = given.path.split('/')[2] ?? ''
  const until = town.house.clock.now() + DAY
  const forged = ticketOf(Buffer.alloc(32), { id, account: 'idannaexampleorg', size: 5, type: '', until })
  assert.equal(await status(town, { ...given, authorization: `Bearer ${forged}` }, 'hello'), 403)
  assert.equal(await status(town, { ...given, path: given.path.replace('a.txt', 'b.txt') }, 'hello'), 404)
  for (const path of ['', 'a', id, `${id}/..%2F..%2Fcore.db`, '..%2F/core.db', `${id}/%2e%2e`, `${'a'.repeat(5000)}/b`])
    assert.equal((await ask(town, 'GET', `/files/${path}`)).status, 404, path)
  assert.deepEqual(onDisk(town.house), [])

  assert.equal(await status(town, given, 'hello'), 201)
  assert.equal(await status(town, given, 'world'), 409, 'a slot is used once')
  assert.equal((await ask(town, 'GET', given.path)).body.toString(), 'hello')

  town.house.clock.turn(11 * 60_000)
  assert.equal(await status(town, other, 'hello'), 410)
  await town.house.generation.scope.use(Files).sweep()
  assert.equal((await admin(town.house).usage()).all.files, 1, 'the slot takes no room any more')
})

test('an upload that is cut leaves nothing, and may be tried again', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const given = await slot(anna, 'a.bin', 1_000_000)
  const temporary = (): readonly string[] => namesIn(join(town.house.folder, 'tmp'))
  /** Begins, and answers what ends it. */
  const begin = async () => {
    const request = httpRequest({
      port: town.port,
      host: '127.0.0.1',
      method: 'PUT',
      path: given.path,
      headers: { authorization: given.authorization, 'content-length': '1000000' },
      agent: false,
    })
    const ended = new Promise<string>((resolve) => {
      request.on('error', () => resolve('cut'))
      request.on('response', (response) => resolve(String(response.statusCode)))
    })
    await new Promise<void>((resolve) => request.write(Buffer.alloc(400_000), () => resolve()))
    while (temporary().length === 0) await new Promise(setImmediate)
    return { request, ended }
  }
  const tmpIsEmpty = async (): Promise<void> => {
    while (temporary().length > 0) await new Promise(setImmediate)
  }
  const first = await begin()
  assert.equal((await put(town, given, Buffer.alloc(1_000_000))).status, 409, 'somebody is at it')
  first.request.destroy()
  await tmpIsEmpty()
  assert.deepEqual(onDisk(town.house), [])
  assert.equal((await ask(town, 'GET', given.path)).status, 404)

  let last = 409
  while (last === 409) last = (await put(town, given, Buffer.alloc(1_000_000, 1))).status
  assert.equal(last, 201)
  assert.equal(onDisk(town.house).length, 1)
})

/** The condition and what comes with it. */
async function refusal(answer: Promise<Element>): Promise<string> {
  try {
    await answer
  } catch (error) {
    const { condition, app, type } = error as { condition: string; type: string; app?: Element }
    return [type, condition, app?.name, app?.childText('max-file-size') ?? app?.get('stamp')].filter(Boolean).join(' ')
  }
  return 'given'
}

test('the errors are those of the protocol', async () => {
  const town = await open({ 'file-size': 1000, types: ['image/*', 'text/plain'] })
  const anna = await town.house.arrive(ANNA, 'sea')
  const asked = (...args: Parameters<typeof wish>) => refusal(anna.request('get', wish(...args), SERVICE))
  assert.equal(await asked('a.png', 1001, 'image/png'), 'modify not-acceptable file-too-large 1000')
  for (const size of ['-5', '0', '', '1e2', '99999999999999999999', '5.5'])
    assert.equal(await asked('a.png', size, 'image/png'), 'modify bad-request', size)
  for (const name of ['', '.', '..', '../../etc/passwd', 'a\\b.png', 'a&#10;b.png', 'x'.repeat(256)])
    assert.equal(await asked(name, 5, 'image/png'), 'modify bad-request', name)
  assert.equal(await asked('a.png', 5, 'image'), 'modify bad-request')
  assert.equal(await asked('a.png', 5, 'text/html'), 'modify not-acceptable')
  assert.equal(await asked('a.png', 5), 'modify not-acceptable')
  assert.equal(
    await asked('a.txt', 5, 'text/plain', `<ephemeral xmlns='urn:xmpp:http:upload:purpose:0' expire-before='x'/>`),
    'modify bad-request',
  )
  assert.equal((await slot(anna, 'gpj.\u202Eexe', 5, 'image/png')).path.split('/')[3], 'gpj.exe')

  const cleo = await town.house.arrive('cleo@example.net', 'hill')
  assert.equal(await refusal(cleo.request('get', wish('a.txt', 5, 'text/plain'), 'upload.example.net')), 'given')
  const account = town.house.accounts.list.get(ANNA)
  assert.ok(account !== undefined)
  town.house.accounts.list.set(ANNA, { ...account, role: 'limited' })
  const limited = await town.house.arrive(ANNA, 'guest')
  assert.equal(await refusal(limited.request('get', wish('a.txt', 5, 'text/plain'), SERVICE)), 'auth forbidden')
})

test('avatars have a size of their own, slots a life, limited accounts and types to be shown are as set', async () => {
  const town = await open(
    { 'profile-size': 50, 'slot-lifetime': '30s', 'limited-accounts': true },
    { files: { 'shown-types': ['application/pdf'] } },
  )
  const anna = await town.house.arrive(ANNA, 'sea')
  const profile = `<profile xmlns='urn:xmpp:http:upload:purpose:0'/>`
  const asked = (size: number) => refusal(anna.request('get', wish('me.png', size, 'image/png', profile), SERVICE))
  assert.equal(await asked(51), 'modify not-acceptable file-too-large 50')
  assert.equal(await asked(50), 'given')
  const early = await slot(anna, 'a', 1)
  const late = await slot(anna, 'b', 1)
  town.house.clock.turn(29_000)
  assert.equal((await put(town, early, 'x')).status, 201)
  town.house.clock.turn(1000)
  assert.equal((await put(town, late, 'x')).status, 410)
  const shown = async (name: string, type: string): Promise<string> =>
    String((await ask(town, 'GET', await upload(town, anna, name, 'x', type))).headers['content-disposition'])
  assert.match(await shown('a.pdf', 'application/pdf'), /^inline/)
  assert.match(await shown('a.txt', 'text/plain'), /^attachment/)
  const account = town.house.accounts.list.get(ANNA)
  assert.ok(account)
  town.house.accounts.list.set(ANNA, { ...account, role: 'limited' })
  assert.equal(await refusal(anna.request('get', wish('a', 1), SERVICE)), 'given')
})

test('quotas: of the account, of the day, of the server', async () => {
  const town = await open({ 'account-quota': 100, 'daily-quota': 150 }, { files: { 'server-quota': 160 } })
  const anna = await town.house.arrive(ANNA, 'sea')
  const bert = await town.house.arrive(BERT, 'hill')
  const asked = (peer: Peer, size: number) => refusal(peer.request('get', wish('a', size), SERVICE))
  const path = await upload(town, anna, 'a', 'x'.repeat(60))
  // Slots that are taken side by side count at once.
  const both = await Promise.all([asked(anna, 30), asked(anna, 30)])
  assert.deepEqual(both.sort(), ['cancel resource-constraint', 'given'])
  assert.equal(await asked(bert, 80), 'wait resource-constraint', 'the server has room for 70')
  assert.equal(await asked(bert, 70), 'given')
  // What is deleted gives room, but not in the day's account.
  assert.equal(await admin(town.house).delete([path.split('/')[2] ?? '']), 1)
  assert.equal((await ask(town, 'GET', path)).status, 404)
  assert.deepEqual(onDisk(town.house), [])
  assert.equal(await asked(anna, 60), 'given')
  const stamp = new Date(Math.floor(town.house.clock.now() / 3_600_000) * 3_600_000 + DAY).toISOString()
  assert.equal(await asked(anna, 10), `wait resource-constraint retry ${stamp}`)
  town.house.clock.turn(DAY)
  await town.house.generation.scope.use(Files).sweep()
  assert.deepEqual((await admin(town.house).usage(ANNA)).accounts, [{ owner: ANNA, files: 0, octets: 0, day: 0 }])
  assert.equal(await asked(anna, 90), 'given')
})

test('where the oldest files go, those of the profile stay', async () => {
  const town = await open({ 'account-quota': 100, 'when-full': 'oldest-go' })
  const anna = await town.house.arrive(ANNA, 'sea')
  const profile = await slot(anna, 'me.png', 40, 'image/png', `<profile xmlns='urn:xmpp:http:upload:purpose:0'/>`)
  assert.equal((await put(town, profile, Buffer.alloc(40))).status, 201)
  const first = await upload(town, anna, 'first', 'x'.repeat(30))
  const second = await upload(town, anna, 'second', 'x'.repeat(30))
  const third = await upload(town, anna, 'third', 'x'.repeat(30))
  const there = async (path: string): Promise<boolean> => (await ask(town, 'GET', path)).status === 200
  assert.deepEqual(await Promise.all([profile.path, first, second, third].map(there)), [true, false, true, true])
  assert.equal(onDisk(town.house).length, 3)
  assert.equal(await refusal(anna.request('get', wish('a', 70), SERVICE)), 'cancel resource-constraint')
  assert.deepEqual(await Promise.all([second, third].map(there)), [true, true], 'nothing goes in vain')
})

test('files expire: when they have to, earlier where the sender says so; those of the profile do not', async () => {
  const town = await open({ 'expires-after': '7d' })
  const anna = await town.house.arrive(ANNA, 'sea')
  const before = new Date(town.house.clock.now() + DAY).toISOString()
  const purpose = 'urn:xmpp:http:upload:purpose:0'
  const short = await slot(anna, 'a', 1, undefined, `<ephemeral xmlns='${purpose}' expire-before='${before}'/>`)
  const profile = await slot(anna, 'b', 1, undefined, `<profile xmlns='${purpose}'/>`)
  for (const given of [short, profile]) assert.equal((await put(town, given, 'x')).status, 201)
  const usual = await upload(town, anna, 'c', 'x')
  const there = () =>
    Promise.all([short.path, profile.path, usual].map(async (path) => (await ask(town, 'GET', path)).status === 200))
  town.house.clock.turn(DAY - 1000)
  assert.deepEqual(await there(), [true, true, true])
  town.house.clock.turn(1000)
  assert.deepEqual(await there(), [false, true, true])
  town.house.clock.turn(6 * DAY)
  assert.deepEqual(await there(), [false, true, false])
  await town.house.generation.scope.use(Files).sweep()
  assert.equal(onDisk(town.house).length, 1)
  assert.equal((await admin(town.house).usage()).all.files, 1)
})

test('the owner sees and deletes his files by a command, and no others', async () => {
  const town = await open()
  const anna = await town.house.arrive(ANNA, 'sea')
  const bert = await town.house.arrive(BERT, 'hill')
  const mine = await upload(town, anna, 'mine.txt', 'x')
  const his = await upload(town, bert, 'his.txt', 'x')
  const COMMANDS = 'http://jabber.org/protocol/commands'
  const run = (more: string, inner = '') =>
    anna.request('set', `<command xmlns='${COMMANDS}' node='urn:aviso:files' ${more}>${inner}</command>`, 'example.org')
  const stage = await run(`action='execute'`)
  const session = stage.child('command', COMMANDS)?.get('sessionid') ?? ''
  assert.match(stage.toString(), /mine\.txt \(1 octets/)
  assert.doesNotMatch(stage.toString(), /his\.txt/)
  const values = [mine, his].map((path) => `<value>${path.split('/')[2]}</value>`).join('')
  const end = await run(
    `action='complete' sessionid='${session}'`,
    `<x xmlns='jabber:x:data' type='submit'><field var='files'>${values}</field></x>`,
  )
  assert.match(end.toString(), /1 deleted/)
  assert.equal((await ask(town, 'GET', mine)).status, 404)
  assert.equal((await ask(town, 'GET', his)).status, 200)
  assert.equal(await admin(town.house).deleteAll(BERT), 1)
  assert.equal((await ask(town, 'GET', his)).status, 404)
})

test('with an account go its files', async () => {
  const town = await open({}, { real: true })
  const anna = await town.house.arrive(ANNA, 'sea')
  const path = await upload(town, anna, 'a.txt', 'hello')
  const { id } = await town.house.admin.showAccount(ANNA)
  assert.equal(onDisk(town.house, id).length, 1)
  await town.house.admin.deleteAccount(ANNA)
  assert.equal((await ask(town, 'GET', path)).status, 404)
  assert.deepEqual(onDisk(town.house, id), [])
  assert.deepEqual((await admin(town.house).usage()).all, { files: 0, octets: 0 })
})

test('the service has the name that is set, and files are told to be where the config says', async () => {
  const town = await open({ name: 'Attic', url: 'https://files.{domain}/up/' })
  const anna = await town.house.arrive(ANNA, 'sea')
  const info = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, SERVICE)
  assert.equal(info.firstElement?.child('identity')?.get('name'), 'Attic')
  const answer = await anna.request('get', wish('a.txt', 5), SERVICE)
  for (const way of ['put', 'get'])
    assert.match(
      answer.firstElement?.child(way)?.get('url') ?? '',
      /^https:\/\/files\.example\.org\/up\/[\w-]{24}\/a\.txt$/,
    )
})

test('at the domain itself, where the config says so', async () => {
  const town = await open({ domain: '{domain}' })
  const anna = await town.house.arrive(ANNA, 'sea')
  const info = await anna.request('get', `<query xmlns='http://jabber.org/protocol/disco#info'/>`, 'example.org')
  assert.match(info.toString(), /max-file-size/)
  assert.equal(await refusal(anna.request('get', wish('a.txt', 5), 'example.org')), 'given')
})
