// What systemd and we tell each other: sockets that it opened for us (sd_listen_fds(3)), and how we are (sd_notify(3)).

import { spawn } from 'node:child_process'
import type { Scope } from '../kernel/scope.ts'

const FIRST_DESCRIPTOR = 3

/** The sockets that systemd opened for this process, by name. Each is given out once. */
export class Activation {
  readonly #byName: Map<string, number[]>

  constructor(byName: Map<string, number[]> = new Map()) {
    this.#byName = byName
  }

  /**
   * Reads LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. `pids` are the processes that the sockets may be meant for: this one, or the launcher that started it on another
   * runtime and handed the descriptors on.
   */
  static fromEnvironment(env: NodeJS.ProcessEnv, pids: readonly number[]): Activation {
    const count = Number(env['LISTEN_FDS'] ?? 0)
    if (!Number.isInteger(count) || count < 1 || count > 1024 || !pids.includes(Number(env['LISTEN_PID'])))
      return new Activation()
    const names = (env['LISTEN_FDNAMES'] ?? '').split(':')
    const byName = new Map<string, number[]>()
    for (let index = 0; index < count; index++) {
      const name = names[index] || 'unknown'
      byName.set(name, [...(byName.get(name) ?? []), FIRST_DESCRIPTOR + index])
    }
    return new Activation(byName)
  }

  names(): readonly string[] {
    return [...this.#byName.keys()]
  }

  /** The file descriptors of that name, which are the caller's from now on. */
  take(name: string): readonly number[] {
    const descriptors = this.#byName.get(name) ?? []
    this.#byName.delete(name)
    return descriptors
  }
}

/** Tells systemd how the service is. Every call is harmless where nobody listens. */
export interface Notifier {
  /** Everything listens; `status` is shown by `systemctl status`. */
  ready(status?: string): Promise<void>
  reloading(): Promise<void>
  stopping(): Promise<void>
  status(text: string): Promise<void>
}

/**
 * Speaks to systemd where NOTIFY_SOCKET is set, through the program `systemd-notify`: that socket takes datagrams, and Node has no unix datagram sockets. As the
 * message then comes from a child process, the unit needs `NotifyAccess=all`. Where the unit sets WatchdogSec=, it is answered twice in that time, from the event loop, so that a
 * loop that stands still gets the service restarted. What goes wrong is logged once and harms nothing.
 */
export function systemdNotifier(
  scope: Scope,
  env: NodeJS.ProcessEnv,
  run: (args: readonly string[]) => Promise<void> = runNotify,
): Notifier {
  if (env['NOTIFY_SOCKET'] === undefined) {
    const nothing = async (): Promise<void> => {}
    return { ready: nothing, reloading: nothing, stopping: nothing, status: nothing }
  }
  let failed = false
  const tell = async (...variables: readonly string[]): Promise<void> => {
    try {
      await run([`--pid=${process.pid}`, ...variables])
    } catch (error) {
      if (!failed) scope.log.warn({ err: error }, 'systemd could not be notified')
      failed = true
    }
  }
  const every = Number(env['WATCHDOG_USEC'] ?? 0) / 2000
  if (every >= 1 && ['', String(process.pid)].includes(env['WATCHDOG_PID'] ?? ''))
    scope.interval(every, () => tell('WATCHDOG=1'))
  const oneLine = (text: string): string => text.replace(/[\r\n]+/g, ' ')
  return {
    ready: (status) => tell('READY=1', ...(status === undefined ? [] : [`STATUS=${oneLine(status)}`])),
    // Type=notify-reload wants to know when, on the clock that hrtime reads.
    reloading: () => tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => tell('STOPPING=1'),
    status: (text) => tell(`STATUS=${oneLine(text)}`),
  }
}

function runNotify(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('systemd-notify', args, { stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`systemd-notify ended with status ${String(code)}`)),
    )
  })
}
