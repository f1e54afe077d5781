// Debian's Dovecot with sdbox, as a careful administrator would set it up for speed, in a folder of its own: measured beside Aviso in one run.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { localPart, PASSWORD } from '../clients/logins.ts'

const PROGRAM = '/usr/sbin/dovecot'
const LOOK_MS = 20
const START_DEADLINE_MS = 20_000
/** Debian's user and group `mail`. */
const MAIL = 8

/** True when it is installed, and this process may start it (it changes users). */
export const dovecotAvailable = (): boolean => existsSync(PROGRAM) && process.getuid?.() === 0

export class Dovecot {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  /** Starts it with its data in `folder`, and a certificate for localhost. */
  static async start(folder: string, certificate: string, key: string): Promise<Dovecot> {
    const port = await freePort()
    mkdirSync(join(folder, 'mail'), { recursive: true })
    chownSync(join(folder, 'mail'), MAIL, MAIL)
    writeFileSync(join(folder, 'dovecot.conf'), configuration(folder, port, certificate, key))
    writeFileSync(join(folder, 'users'), [0, 1].map((user) => `${localPart(user)}:{PLAIN}${PASSWORD}\n`).join(''))
    const child = spawn(PROGRAM, ['-F', '-c', join(folder, 'dovecot.conf')], { stdio: 'ignore' })
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('exit', () => process.off('exit', kill))
    for (const begun = Date.now(); !(await answers(port));) {
      if (child.exitCode !== null || Date.now() - begun > START_DEADLINE_MS)
        throw new Error(`Dovecot did not start: see ${join(folder, 'dovecot.log')}`)
      await pause(LOOK_MS)
    }
    return new Dovecot(child, port)
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }
}

const configuration = (folder: string, port: number, certificate: string, key: string): string => `
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
mail_location = sdbox:${folder}/mail/%n
mail_uid = ${MAIL}
mail_gid = ${MAIL}
first_valid_uid = 1
first_valid_gid = 1
ssl = yes
ssl_cert = <${certificate}
ssl_key = <${key}
auth_mechanisms = plain scram-sha-256
auth_username_format = %n
default_vsz_limit = 2G
mail_max_userip_connections = 1000
passdb {
  driver = passwd-file
  args = username_format=%n ${folder}/users
}
userdb {
  driver = static
  args = uid=${MAIL} gid=${MAIL} home=${folder}/mail/%n allow_all_users=yes
}
service imap-login {
  service_count = 0
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = ${port}
    ssl = yes
  }
}
namespace inbox {
  inbox = yes
}
`

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => (socket.destroy(), resolve(true)))
    socket.on('error', () => resolve(false))
  })
}
