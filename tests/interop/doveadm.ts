// Dovecot without a server: doveadm on a Maildir of its own, to make archives as Dovecot leaves them and to read ours.

import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { run, succeed, type Outcome } from './programs.ts'

/** Dovecot reads no mail as root. */
const NOBODY = { uid: 65534, gid: 65534 }

export class Doveadm {
  readonly maildir: string
  readonly #home: string
  readonly #config: string
  readonly #user: string

  /** `folder` is the test's own; the Maildir is made in it, or is `maildir`. */
  constructor(folder: string, maildir = join(folder, 'dovecot', 'Maildir')) {
    const root = process.getuid?.() === 0
    const { username, uid, gid } = userInfo()
    this.#user = root ? 'nobody' : username
    this.#home = join(folder, 'dovecot')
    this.maildir = maildir
    this.#config = join(folder, 'dovecot.conf')
    mkdirSync(this.#home, { recursive: true })
    if (root) {
      chmodSync(folder, 0o755)
      give(this.#home)
    }
    writeFileSync(
      this.#config,
      `mail_location = maildir:${maildir}
base_dir = ${folder}/run
state_dir = ${folder}/state
mail_home = ${this.#home}
mail_uid = ${root ? NOBODY.uid : uid}
mail_gid = ${root ? NOBODY.gid : gid}
first_valid_uid = 1
first_valid_gid = 1
ssl = no
namespace inbox {
  inbox = yes
}
`,
    )
  }

  /** Lets Dovecot's user read what another program wrote. */
  adopt(): void {
    if (process.getuid?.() === 0) give(this.maildir)
  }

  run(args: readonly string[], input = ''): Promise<string> {
    return succeed('doveadm', ['-c', this.#config, ...args], { input, env: this.#env, cwd: this.#home })
  }

  attempt(args: readonly string[]): Promise<Outcome> {
    return run('doveadm', ['-c', this.#config, ...args], { env: this.#env, cwd: this.#home })
  }

  get #env(): Readonly<Record<string, string>> {
    return { USER: this.#user, HOME: this.#home }
  }
}

function give(path: string): void {
  chownSync(path, NOBODY.uid, NOBODY.gid)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) give(inner)
    else chownSync(inner, NOBODY.uid, NOBODY.gid)
  }
}
