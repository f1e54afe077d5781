// A small house to test in: a real store in a temporary folder, fake bans, a clock that is turned by hand.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { clientMechanism, type ClientOptions, type Failure, type MechanismName, type Success } from '@aviso/sasl'
import * as v from 'valibot'
import { authConfig } from '../../src/accounts/config.ts'
import { openAccounts, type OpenedAccounts } from '../../src/accounts/accounts.ts'
import type { LoginContext } from '../../src/accounts/contracts.ts'
import { accountStore } from '../../src/accounts/store.ts'
import { HandClock, type Timer } from '../../src/kernel/clock.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { Metrics } from '../../src/kernel/metrics.ts'
import { SeededRandom } from '../../src/kernel/random.ts'
import { Scope } from '../../src/kernel/scope.ts'
import { Bans } from '../../src/net/contracts.ts'
import { type Calls, Store } from '../../src/store/contracts.ts'
import { openStore } from '../../src/store/open.ts'

export interface Ban {
  readonly address: string
  readonly ms: number
}

/** Knows whether somebody waits for it. */
export class WatchedClock extends HandClock {
  readonly waiting = new Set<Timer>()

  override timeout(ms: number, callback: () => void): Timer {
    const inner = super.timeout(ms, () => {
      this.waiting.delete(timer)
      callback()
    })
    const timer: Timer = {
      cancel: () => {
        this.waiting.delete(timer)
        inner.cancel()
      },
    }
    this.waiting.add(timer)
    return timer
  }
}

export interface House extends OpenedAccounts {
  readonly scope: Scope
  readonly clock: WatchedClock
  readonly store: Store
  readonly rows: Calls<(typeof accountStore)['operations']>
  readonly metrics: Metrics
  readonly lines: Record<string, unknown>[]
  readonly bans: Ban[]
  /** The next call of this operation fails as if the disk had gone. */
  breakNext(operation: string): void
  /** The `event: login` lines. */
  logins(): readonly Record<string, unknown>[]
  /** A second generation over the same store. */
  again(config?: v.InferInput<typeof authConfig>): Promise<OpenedAccounts>
}

/** The cheapest settings that are allowed, so that tests are fast. */
export const cheap: v.InferInput<typeof authConfig> = {
  passwords: { iterations: 4096, argon2: { memory: 8192, passes: 1 } },
}

export async function openHouse(t: TestContext, config: v.InferInput<typeof authConfig> = cheap): Promise<House> {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-accounts-'))
  const { log, lines } = recordingLog()
  const clock = new WatchedClock()
  const metrics = new Metrics()
  const scope = Scope.root({ log, metrics, clock, random: new SeededRandom(7) })
  t.after(async () => {
    await scope.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const real = await openStore(scope, { folder, definitions: [accountStore] })
  const broken = new Set<string>()
  const store = new Proxy(real, {
    get(target, name) {
      if (name !== 'core') {
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      }
      return (definition: typeof accountStore): unknown => breakable(target.core(definition), broken)
    },
  })
  scope.provide(Store, store)
  const bans: Ban[] = []
  scope.provide(Bans, {
    isBanned: (address) => bans.some((ban) => ban.address === address),
    ban: (address, ms) => void bans.push({ address, ms }),
    lift: (address) => {
      const index = bans.findIndex((ban) => ban.address === address)
      if (index >= 0) bans.splice(index, 1)
      return index >= 0
    },
    list: () => [],
  })
  const generation = (input: v.InferInput<typeof authConfig>): Promise<OpenedAccounts> =>
    openAccounts(scope.child('accounts'), v.parse(authConfig, input))
  const opened = await generation(config)
  return {
    ...opened,
    scope,
    clock,
    store,
    rows: real.core(accountStore),
    metrics,
    lines,
    bans,
    breakNext: (operation) => void broken.add(operation),
    logins: () => lines.filter((line) => line['event'] === 'login'),
    again: (next = config) => generation(next),
  }
}

function breakable(calls: object, broken: Set<string>): unknown {
  return new Proxy(calls, {
    get(target, name) {
      const call: unknown = Reflect.get(target, name, target)
      if (typeof call !== 'function') return call
      return (...args: unknown[]): unknown => {
        if (broken.delete(String(name))) return Promise.reject(new Error('the disk has gone'))
        return Reflect.apply(call, target, args)
      }
    },
  })
}

/** A house with example.org, Anna (admin) and Ben (user). */
export async function annasHouse(t: TestContext, config?: v.InferInput<typeof authConfig>): Promise<House> {
  const house = await openHouse(t, config)
  await house.admin.addDomain('example.org')
  await house.admin.createAccount({ address: 'anna@example.org', password: 'annas secret', role: 'admin' })
  await house.admin.createAccount({ address: 'ben@example.org', password: 'bens secret' })
  return house
}

export const context = (more: Partial<LoginContext> = {}): LoginContext => ({
  protocol: 'imap',
  session: 's1',
  remoteAddress: '192.0.2.7',
  secure: true,
  ...more,
})

/** Runs a whole exchange as a client does it. Turns the clock while the server holds its answer back; `waited` tells how long. */
export async function login(
  house: Pick<House, 'accounts' | 'clock'>,
  mechanism: MechanismName,
  client: Omit<ClientOptions, 'secure'>,
  more: Partial<LoginContext> = {},
): Promise<{ readonly end: Success | Failure; readonly waited: number }> {
  const server = house.accounts.begin(mechanism, context(more))
  const half = clientMechanism([mechanism], { secure: true, ...client })
  if (server === undefined || half === undefined) throw new Error(`${mechanism} is not offered`)
  const before = house.clock.now()
  let step = await turning(house.clock, server.start(await half.start()))
  while (step.kind === 'challenge') step = await turning(house.clock, server.next(await half.next(step.data)))
  if (step.kind === 'success') await half.success(step.data)
  return { end: step, waited: house.clock.now() - before }
}

/** Turns the clock until `promise` settles; time passes only while somebody waits for it. */
export async function turning<T>(clock: WatchedClock, promise: Promise<T>): Promise<T> {
  const state = { settled: false }
  const watch = async (): Promise<void> => {
    try {
      await promise
    } catch {
      // The caller gets it.
    }
    state.settled = true
  }
  void watch()
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve))
    if (state.settled) return promise
    if (clock.waiting.size > 0) clock.turn(50)
  }
}
