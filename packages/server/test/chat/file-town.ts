// A chat server with uploaded files, and what clients and browsers do with them: for the tests of files.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { after } from 'node:test'
import { createChatAdmin } from '../../src/chat/administration.ts'
import { LittleWeb } from './little-web.ts'
import { House, type HouseOptions, type Peer } from './house.ts'

export const ANNA = 'anna@example.org'
export const BERT = 'bert@example.org'
export const UPLOAD = 'urn:xmpp:http:upload:0'
export const SERVICE = 'upload.example.org'
export const DAY = 86_400_000

const closing: (() => Promise<unknown>)[] = []
after(async () => {
  for (const close of closing.reverse()) await close()
})

export interface Town {
  readonly house: House
  /** Of the door. */
  readonly port: number
}

export async function open(settings: object = {}, more: HouseOptions = {}): Promise<Town> {
  const web = new LittleWeb()
  const port = await web.listen()
  const house = await House.open({ ...more, web, featureConfig: { 'http-upload': settings } })
  closing.push(async () => {
    await web.close()
    await house.close()
  })
  return { house, port }
}

export interface Given {
  readonly path: string
  readonly authorization: string
}

export const wish = (name: string, size: number | string, type?: string, inner = ''): string =>
  `<request xmlns='${UPLOAD}' filename='${name}' size='${size}'${type === undefined ? '' : ` content-type='${type}'`}>${inner}</request>`

export async function slot(peer: Peer, ...[name, size, type, inner]: Parameters<typeof wish>): Promise<Given> {
  const answer = await peer.request('get', wish(name, size, type, inner), SERVICE)
  const put = answer.child('slot', UPLOAD)?.child('put')
  const url = put?.get('url') ?? ''
  assert.equal(answer.child('slot', UPLOAD)?.child('get')?.get('url'), url)
  return { path: url.replace('https://example.org:5281', ''), authorization: put?.childText('header') ?? '' }
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

export function ask(
  { port }: Town,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: Buffer | string,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', method, path, headers, agent: false }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

export const put = (
  town: Town,
  { path, authorization }: Given,
  body: Buffer | string,
  headers: Record<string, string> = {},
) => ask(town, 'PUT', path, { authorization, 'content-length': String(Buffer.byteLength(body)), ...headers }, body)

/** Uploads a file; answers its path. */
export async function upload(
  town: Town,
  peer: Peer,
  name: string,
  body: Buffer | string,
  type?: string,
): Promise<string> {
  const given = await slot(peer, name, Buffer.byteLength(body), type)
  assert.equal((await put(town, given, body)).status, 201)
  return given.path
}

export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** The files of an account on the disk. */
export const onDisk = (house: House, account = 'idannaexampleorg'): readonly string[] =>
  namesIn(join(house.folder, 'accounts', account.slice(-2), account, 'files'))

export const admin = (house: House) => createChatAdmin(house.store, () => house.generation.scope, house.root).files

export const PNG = Buffer.concat([
  Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1'),
  Buffer.from([0, 0, 2, 128, 0, 0, 1, 224, 8, 6, 0, 0, 0]),
  Buffer.alloc(100, 7),
])
