// RFC 6455, as far as a measurement needs it: text messages either way, over TLS.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { dial, type Reach } from './wire.ts'

const TEXT = 0x81

/** Opens a WebSocket: what is written goes as one message each, what is read are the texts of messages. Octets are masked with zeros: unmasking costs the server the same. */
export async function openWebSocket(reach: Reach, port: number, path: string, protocol: string): Promise<Duplex> {
  const socket = await dial(reach, port, true)
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: localhost:${port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n` +
      `sec-websocket-key: ${randomBytes(16).toString('base64')}\r\nsec-websocket-protocol: ${protocol}\r\n\r\n`,
  )
  const [head] = (await once(socket, 'data')) as [Buffer]
  const end = head.indexOf('\r\n\r\n')
  if (!head.toString('latin1').startsWith('HTTP/1.1 101 ') || end < 0)
    throw new Error(`no WebSocket: ${head.toString('latin1')}`)
  let unread = head.subarray(end + 4)
  const messages = new Duplex({
    decodeStrings: false,
    read: () => void socket.resume(),
    write: (text: string, _encoding, done) => void socket.write(frame(text), done),
    // As TCP clients do: what waits while the socket is busy goes in one write.
    writev: (chunks, done) => void socket.write(Buffer.concat(chunks.map(({ chunk }) => frame(chunk as string))), done),
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    },
  })
  const take = (chunk: Buffer): void => {
    unread = unread.length === 0 ? chunk : Buffer.concat([unread, chunk])
    for (let next = textOf(unread); next !== undefined; next = textOf(unread)) {
      unread = unread.subarray(next.end)
      messages.push(next.text)
    }
  }
  socket.on('data', take).on('close', () => messages.destroy())
  take(Buffer.alloc(0))
  return messages
}

function frame(text: string): Buffer {
  const payload = Buffer.from(text)
  const extra = payload.length < 126 ? 0 : 2
  const octets = Buffer.alloc(2 + extra + 4 + payload.length)
  octets[0] = TEXT
  octets[1] = 0x80 | (extra === 0 ? payload.length : 126)
  if (extra === 2) octets.writeUInt16BE(payload.length, 2)
  payload.copy(octets, 2 + extra + 4)
  return octets
}

/** The first message, where it has come whole; those of the server have no mask. */
function textOf(octets: Buffer): { readonly text: Buffer; readonly end: number } | undefined {
  if (octets.length < 2) return undefined
  const short = (octets[1] ?? 0) & 0x7f
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0
  if (octets.length < 2 + extra) return undefined
  const length = extra === 0 ? short : extra === 2 ? octets.readUInt16BE(2) : Number(octets.readBigUInt64BE(2))
  const end = 2 + extra + length
  return octets.length < end ? undefined : { text: octets.subarray(2 + extra, end), end }
}
