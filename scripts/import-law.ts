// The law of imports (docs/architecture.md): who may import whom. Run by `npm run lint`.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** Room → rooms it may import, besides itself. Protocol packages are named as packages. */
const LAW: Readonly<Record<string, readonly string[]>> = {
  '@aviso/sasl': [],
  '@aviso/mime': [],
  '@aviso/smtp': ['@aviso/sasl', '@aviso/mime'],
  '@aviso/imap': ['@aviso/sasl', '@aviso/mime'],
  '@aviso/xmpp': ['@aviso/sasl', '@aviso/mime'],
  kernel: [],
  net: ['kernel', 'store'],
  store: ['kernel'],
  accounts: ['kernel', 'net', 'store', 'packages'],
  mail: ['kernel', 'net', 'store', 'accounts', 'packages'],
  chat: ['kernel', 'net', 'store', 'accounts', 'packages'],
  admin: ['kernel', 'net', 'store', 'accounts', 'mail', 'chat', 'packages'],
  // What puts the house together: the files that lie directly in server/src.
  house: ['kernel', 'net', 'store', 'accounts', 'mail', 'chat', 'admin', 'packages'],
}

const SERVER = 'packages/server/src/'

/** Which room a source file belongs to. */
function roomOf(file: string): string | undefined {
  if (file.startsWith(SERVER)) {
    const inside = file.slice(SERVER.length)
    return inside.includes('/') ? inside.split('/', 1)[0] : 'house'
  }
  const name = /^packages\/([a-z]+)\/src\//.exec(file)?.[1]
  return name === undefined ? undefined : `@aviso/${name}`
}

const offences: string[] = []
for (const file of globSync('packages/*/src/**/*.ts').sort()) {
  const room = roomOf(file)
  const allowed = room === undefined ? undefined : LAW[room]
  if (room === undefined || allowed === undefined) {
    offences.push(`${file}: '${String(room)}' is no room that the law knows`)
    continue
  }
  const lines = readFileSync(file, 'utf8').split('\n')
  for (const [index, line] of lines.entries()) {
    const target =
      /\bfrom '([^']+)'/.exec(line)?.[1] ??
      /^import '([^']+)'/.exec(line)?.[1] ??
      /\bimport\('([^']+)'\)/.exec(line)?.[1]
    if (target === undefined) continue
    const other = target.startsWith('.') ? relative('.', join(dirname(file), target)) : target
    const otherRoom = target.startsWith('.')
      ? roomOf(other)
      : target.startsWith('@aviso/')
        ? target.split('/').slice(0, 2).join('/')
        : undefined
    if (otherRoom === undefined || otherRoom === room) continue
    const permitted = allowed.includes(otherRoom) || (otherRoom.startsWith('@aviso/') && allowed.includes('packages'))
    if (!permitted) offences.push(`${file}:${index + 1}: '${room}' may not import '${otherRoom}' (${target})`)
  }
}
for (const offence of offences) console.error(offence)
if (offences.length > 0) process.exitCode = 1
