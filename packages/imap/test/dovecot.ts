// Dovecot's IMAP server without the rest of it: one process for each connection, logged in from the start.

import { spawn } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import type { ScriptedServer } from '../src/testing/index.ts'

export const DOVECOT = '/usr/lib/dovecot/imap'

/** Dovecot reads no mail as root. */
const NOBODY = { uid: 65534, gid: 65534 }

/** One account in `folder`, which goes when the server is closed. Undefined where it cannot be set so. */
export function dovecot(folder: string, settings: ReadonlyMap<string, string>): ScriptedServer | undefined {
  const rules: string[] = []
  for (const [name, value] of settings)
    if (name === 'octets') rules.push(`bytes=${value}B`)
    else if (name === 'messages') rules.push(`messages=${value}`)
    else return undefined
  const quota =
    rules.length === 0
      ? ''
      : `mail_plugins = quota imap_quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:${rules.join(':')}
  quota_grace = 0
}
`
  const root = process.getuid?.() === 0
  const home = join(folder, 'home')
  const config = join(folder, 'dovecot.conf')
  mkdirSync(home)
  writeFileSync(
    config,
    `mail_location = maildir:${home}/Maildir:LAYOUT=fs
base_dir = ${folder}/run
state_dir = ${folder}/state
mail_home = ${home}
first_valid_uid = 1
ssl = no
log_path = ${folder}/log
namespace inbox {
  inbox = yes
  separator = /
}
${quota}`,
  )
  if (root)
    for (const path of [folder, home]) {
      chmodSync(path, 0o755)
      chownSync(path, NOBODY.uid, NOBODY.gid)
    }
  return {
    user: 'nobody',
    password: '',
    async connect() {
      const child = spawn(DOVECOT, ['-c', config], {
        stdio: ['pipe', 'pipe', 'ignore'],
        cwd: home,
        env: { USER: root ? 'nobody' : userInfo().username, HOME: home, PATH: process.env['PATH'] },
        ...(root ? NOBODY : {}),
      })
      return Duplex.from({ readable: child.stdout, writable: child.stdin })
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
