// slixmpp shares files: by HTTP, got by curl, and through the proxy for bytestreams.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { minimal, Site } from './admin-fixture.ts'
import { needsSlixmpp, PYTHON } from './chat-client.ts'
import { freePort, needs, succeed } from './programs.ts'
import { type ServerProcess, temporaryFolder } from './server.ts'

const SCRIPT = fileURLToPath(new URL('clients/files.py', import.meta.url))
const ANNA = 'anna@example.test'
const PASSWORD = 'correct horse battery'

describe('files', { skip: needsSlixmpp('aiohttp') || needs('curl') }, () => {
  const folder = temporaryFolder()
  const content = randomBytes(3_000_000)
  const file = join(folder.path, 'ein Bild.png')
  let site: Site
  let server: ServerProcess
  let xmpp = 0
  before(async () => {
    const http = await freePort()
    const local = ['127.0.0.1:0']
    const { endpoints, ...more } = minimal()
    site = new Site(folder.path, {
      ...more,
      endpoints: {
        ...(endpoints as object),
        http: { listen: [`127.0.0.1:${http}`], 'listen-tls': [] },
        proxy65: { listen: local, host: '127.0.0.1' },
      },
      chat: { features: { 'http-upload': { url: `http://127.0.0.1:${http}/files/` } } },
    })
    server = await site.start()
    await site.aviso(['account', 'add', ANNA, '--password-stdin'], `${PASSWORD}\n`)
    const { bound } = await site.status()
    xmpp = bound.find(({ protocol, tls }) => protocol === 'c2s' && tls === 'implicit')?.port ?? 0
    writeFileSync(file, content)
  })
  after(async () => {
    await server.stop()
    folder.remove()
  })

  const client = async (how: 'upload' | 'relay'): Promise<string> => {
    const ca = join(site.data, 'self-signed.crt')
    return (await succeed(PYTHON, [SCRIPT, ANNA, PASSWORD, '127.0.0.1', String(xmpp), ca, how, file])).trim()
  }

  test('an upload, got whole and in part by curl, seen and deleted by an administrator', async () => {
    const url = await client('upload')
    assert.match(url, /\/files\/[\w-]{24}\/ein%20Bild\.png$/)
    const got = join(folder.path, 'got')
    await succeed('curl', ['-sSf', '-o', got, url])
    assert.deepEqual(readFileSync(got), content)
    await succeed('curl', ['-sSf', '-r', '1000000-1999999', '-o', got, url])
    assert.deepEqual(readFileSync(got), content.subarray(1_000_000, 2_000_000))
    assert.match(await succeed('curl', ['-sSI', url]), /content-length: 3000000/i)

    const { value } = await site.json(['files', 'list', ANNA])
    const [{ id, owner, size }] = value as [{ id: string; owner: string; size: number }]
    assert.deepEqual([owner, size], [ANNA, content.length])
    assert.deepEqual((await site.json(['files', 'delete', id])).value, { deleted: 1 })
    assert.equal(await succeed('curl', ['-sS', '-o', got, '-w', '%{http_code}', url]), '404')
    const usage = (await site.json(['files', 'usage'])).value as { all: object }
    assert.deepEqual(usage.all, { files: 0, octets: 0 })
  })

  test('a file through the proxy to another client of the account', async () => {
    assert.equal(await client('relay'), createHash('sha256').update(content).digest('hex'))
  })
})
