// One life of an account with large mailboxes, and what is said of it by whoever looks.

import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import type { Random } from '@aviso/mime/testing'
import type { HandClock } from '../../../src/kernel/clock.ts'
import type { Scope } from '../../../src/kernel/scope.ts'
import type { MailCalls } from '../../../src/mail/mailboxes/calls.ts'
import { changesSince } from '../../../src/mail/mailboxes/changes.ts'
import { messageRows } from '../../../src/mail/mailboxes/answers.ts'
import { News } from '../../../src/mail/mailboxes/news.ts'
import { NO_LIMITS } from '../../../src/mail/mailboxes/quota.ts'
import { Snapshots } from '../../../src/mail/mailboxes/snapshots.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { defineStore, read, type Store } from '../../../src/store/contracts.ts'
import { openStore } from '../../../src/store/open.ts'
import { testScope } from '../../fixtures/scope.ts'
import { message } from './fixture.ts'
import { become, type Box, catchesUp, HandedOut, isTrue, newest, type Row, type Rows, stored } from './packing-model.ts'

export const ANNA = 'anna'
const FLAGS = ['\\Seen', '\\Deleted', '\\Flagged', 'work', '$Junk'] as const
/** Of each generation of the configuration. */
const PACKING = [
  { worth: 600, few: 8, loose: 60, changes: 300 },
  { worth: 900, few: 3, loose: 25, changes: 300 },
]

/** Everything that the database says about mail, but for what is derived of the rest. */
const everything = defineStore({
  name: 'everything',
  scale: 'account',
  migrations: [],
  operations: {
    dump: read(async (tx) => {
      const tables = await tx.all(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'mail_%' ORDER BY name",
      )
      const found: Record<string, string> = {}
      for (const [name] of tables) {
        if (name === 'mail_packed') continue
        const rows = (await tx.all(`SELECT * FROM ${String(name)}`)).map((row) =>
          row.map((value) => (value instanceof Uint8Array ? hash('md5', value) : String(value))).join(),
        )
        found[String(name)] = `${rows.length} rows, ${hash('md5', rows.sort().join('\n'))}`
      }
      return found
    }),
    parts: read(async (tx) => (await tx.all('SELECT part FROM mail_packed')).map(([part]) => Number(part))),
  },
})
export const definitions = [mailStore, everything]

const isHit = (random: Random, share: number): boolean => random.below(1000) < share * 1000

export class Life {
  readonly #random: Random
  readonly #clock: HandClock
  readonly #scope: Scope
  readonly #store: Store
  readonly #calls: MailCalls
  readonly #generations: readonly Snapshots[]
  readonly #handedOut: HandedOut[] = []
  readonly boxes: Box[]

  private constructor(scope: Scope, store: Store, boxes: readonly Box[], random: Random, clock: HandClock) {
    this.#random = random
    this.#clock = clock
    this.#scope = scope
    this.#store = store
    this.#calls = store.account(mailStore, ANNA)
    this.#generations = PACKING.map((packing) => new Snapshots(scope, 1e8, new News(store.bus), packing))
    this.boxes = [...boxes]
  }

  static async begin(data: string, boxes: readonly Box[], random: Random, clock: HandClock): Promise<Life> {
    const scope = testScope({ clock })
    return new Life(scope, await openStore(scope, { folder: data, definitions }), boxes, random, clock)
  }

  dump(): Promise<unknown> {
    return this.#store.account(everything, ANNA).dump()
  }

  /** Which parts of packed columns there are. */
  async parts(): Promise<readonly number[]> {
    return this.#store.account(everything, ANNA).parts()
  }

  close(): Promise<void> {
    return this.#scope.close()
  }

  /** An empty mailbox that is there. */
  async found(name: string): Promise<void> {
    const { id, uidNext, modseq } = await this.#calls.find({ name })
    this.boxes.push({ id, name, uidNext, rows: new Map(), states: new Map([[modseq, new Map()]]) })
  }

  /** A few messages, and as many copies of them as it takes. */
  async fill(rows: number): Promise<void> {
    const inbox = this.#box('INBOX')
    await this.#append(inbox, 8)
    while (inbox.rows.size < rows) await this.#copy(inbox, inbox, [...inbox.rows.keys()])
  }

  #box(name: string): Box {
    return this.boxes.find((box) => box.name === name) ?? assert.fail(name)
  }

  async step(): Promise<void> {
    const random = this.#random
    // Some at once: they are done in the order in which they are asked.
    const asked: Promise<void>[] = []
    for (let count = random.once(2) ? 1 : 1 + random.below(5); count > 0; count--) {
      asked.push(this.#something())
      if (random.once(3)) asked.push(this.#look(random.pick(this.boxes)))
    }
    await Promise.all(asked)
    if (random.once(40)) await this.#renew()
    if (random.once(2)) this.#clock.turn(random.pick([10, 3000, 86_400_000]))
    for (const box of this.boxes) if (random.once(3)) await this.check(box)
    if (random.once(4)) this.sameAsThen()
  }

  /** Whoever looks sees the mailbox as it is. */
  async check(box: Box): Promise<void> {
    const { id } = box
    for (const [i, generation] of this.#generations.entries()) {
      if (this.#random.once(2)) continue
      const snapshot = await generation.snapshot(ANNA, this.#calls, id)
      assert.equal(snapshot.highestModseq, newest(box))
      assert.equal(snapshot.uidNext, box.uidNext)
      isTrue(snapshot, box, `generation ${i}`)
      this.#handedOut.push(new HandedOut(snapshot))
    }
    const fresh = await new Snapshots(this.#scope, 1, new News(this.#store.bus)).snapshot(ANNA, this.#calls, id)
    assert.equal(fresh.highestModseq, newest(box))
    isTrue(fresh, box, 'a start')
    const since = this.#random.pick([...box.states.keys()])
    const { moment, columns, sets, vanished, complete } = await changesSince(this.#calls, id, since)
    const changed = new Map(
      messageRows(columns, sets).map(({ uid, ...row }) => [uid, { ...row, date: row.internalDate }]),
    )
    catchesUp(box, since, { highestModseq: moment.highestModseq, changed, vanished, complete })
  }

  /** Nothing that was handed out is another now. */
  sameAsThen(): void {
    for (const one of this.#handedOut) one.isStill()
  }

  async #look(box: Box): Promise<void> {
    const snapshot = await this.#random.pick(this.#generations).snapshot(ANNA, this.#calls, box.id)
    this.#handedOut.push(new HandedOut(snapshot))
    const { highestModseq } = snapshot
    // Those who asked before this have been answered, but need not have said so.
    this.#seen.push(() => isTrue(snapshot, box, `a look at ${highestModseq}`))
  }

  readonly #seen: (() => void)[] = []
  #told: Promise<unknown> = Promise.resolve()

  /** What was answered, when what was asked before it is in the model. */
  #inOrder<T>(answer: Promise<T>): Promise<T> {
    const told = Promise.all([answer, this.#told]).then(([value]) => value)
    this.#told = told.then(() => Promise.resolve())
    return told
  }

  settle(): void {
    for (const check of this.#seen.splice(0)) check()
  }

  #something(): Promise<void> {
    const random = this.#random
    const [box, to] = [random.pick(this.boxes), random.pick(this.boxes)]
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
        return this.#append(box, random.pick([1, 1, 5, 40]))
      case 3:
        return box.rows.size + to.rows.size > 9000 ? this.#expunge(box) : this.#copy(box, to, this.#some(box))
      case 4:
        return this.#move(box, to, this.#some(box).slice(0, random.pick([10, 400])))
      case 5:
        return this.#expunge(box)
      case 7:
        return this.#sweep()
      default:
        return this.#flag(box)
    }
  }

  /** Some of the UIDs: here and there, or side by side. */
  #some({ rows }: Box): number[] {
    const random = this.#random
    const uids = [...rows.keys()]
    const from = random.below(uids.length + 1)
    const share = random.pick([0.01, 0.3, 1])
    const some = random.once(3) ? uids : uids.slice(from, from + random.pick([1, 20, 300, 2000]))
    return share === 1 ? some : some.filter(() => isHit(random, share))
  }

  #flags(): string[] {
    return FLAGS.filter((flag) => this.#random.once(flag === '\\Deleted' ? 12 : 3))
  }

  async #append(box: Box, count: number): Promise<void> {
    const random = this.#random
    const flags = this.#flags()
    const given = Array.from({ length: count }, () => ({
      message: { bytes: message(`mail ${random.below(1000)}`) },
      flags,
      internalDate: random.below(1e9) * 1000,
      zone: random.once(3) ? 60 : 0,
    }))
    const [{ firstUid }, { modseq, uidNext }] = await this.#inOrder(
      Promise.all([
        this.#calls.append({ name: box.name, messages: given, limits: NO_LIMITS }),
        this.#calls.get({ mailbox: box.id }),
      ]),
    )
    const rows = new Map(box.rows)
    for (const [i, { internalDate, zone }] of given.entries())
      rows.set(firstUid + i, { flags, modseq, date: internalDate, zone })
    box.uidNext = uidNext
    become(box, modseq, rows)
    this.#generations[0]?.changed(ANNA, this.#calls, box.id, count)
  }

  async #flag(box: Box): Promise<void> {
    const random = this.#random
    const action = random.pick(['set', 'add', 'remove'] as const)
    const flags = this.#flags()
    const generation = random.pick(this.#generations)
    const outcome = await this.#inOrder(
      this.#calls.storeFlags({
        // As it is known here: that may be of long ago.
        known: random.once(5) ? undefined : generation.known(ANNA, box.id),
        mailbox: box.id,
        uids: Uint32Array.from(this.#some(box)),
        action,
        flags,
        unchangedSince: random.once(5) ? random.pick([...box.states.keys()]) : undefined,
      }),
    )
    generation.changedFlags(ANNA, this.#calls, box.id, outcome)
    const rows = new Map(box.rows)
    const met = messageRows(outcome.rows, new Map(outcome.sets))
    for (const { uid, flags: now, modseq } of met) {
      const old = rows.get(uid) ?? assert.fail(`there is no ${uid}`)
      const expected = stored(old.flags, action, flags)
      const same = [...expected].sort().join() === [...old.flags].sort().join()
      assert.deepEqual([...now].sort(), [...expected].sort())
      assert.equal(modseq, same ? old.modseq : outcome.highestModseq)
      rows.set(uid, { ...old, flags: expected, modseq })
    }
    become(box, outcome.highestModseq, rows)
  }

  async #expunge(box: Box): Promise<void> {
    const uids = this.#some(box)
    const gone = await this.#inOrder(this.#calls.expunge({ mailbox: box.id, uids: Uint32Array.from(uids) }))
    const left = new Map(box.rows)
    const deleted = uids.filter((uid) => left.get(uid)?.flags.includes('\\Deleted'))
    assert.deepEqual([...gone.uids], deleted)
    for (const uid of deleted) left.delete(uid)
    become(box, gone.highestModseq, left)
  }

  async #copy(from: Box, to: Box, uids: readonly number[]): Promise<void> {
    const order = { mailbox: from.id, uids: Uint32Array.from(uids), destination: to.name, limits: NO_LIMITS }
    const [copied, { modseq, uidNext }] = await this.#inOrder(
      Promise.all([this.#calls.copy(order), this.#calls.get({ mailbox: to.id })]),
    )
    this.#come(to, from.rows, copied, modseq)
    to.uidNext = uidNext
  }

  async #move(from: Box, to: Box, uids: readonly number[]): Promise<void> {
    const order = { mailbox: from.id, uids: Uint32Array.from(uids), destination: to.name }
    const [moved, there, here] = await this.#inOrder(
      Promise.all([
        this.#calls.move(order),
        this.#calls.get({ mailbox: to.id }),
        this.#calls.get({ mailbox: from.id }),
      ]),
    )
    const old = from.rows
    const left = new Map(old)
    for (const uid of moved.source) left.delete(uid)
    if (from === to) from.rows = left
    else become(from, here.modseq, left)
    this.#come(to, old, moved, there.modseq)
    to.uidNext = there.uidNext
  }

  /** Rows of `old` have come into the mailbox. */
  #come(
    to: Box,
    old: Rows,
    { source, destination }: { readonly source: Uint32Array; readonly destination: Uint32Array },
    modseq: number,
  ): void {
    const rows = new Map(to.rows)
    for (const [i, uid] of source.entries()) {
      const row: Row = old.get(uid) ?? assert.fail(`there is no ${uid}`)
      rows.set(destination[i] ?? 0, { ...row, modseq })
    }
    become(to, modseq, rows)
  }

  async #sweep(): Promise<void> {
    const now = this.#clock.now()
    const historyRows = this.#random.pick([3, 100, 100_000])
    const before = now - 86_400_000 * this.#random.pick([0, 3])
    const order = { contentBefore: before, historyBefore: before, historyRows, deliveriesBefore: before }
    await this.#calls.sweep(order)
  }

  /** INBOX is emptied into another mailbox, or one makes room for another of its name. */
  async #renew(): Promise<void> {
    const inbox = this.#box('INBOX')
    const calls = this.#calls
    await calls.remove({ name: 'a' })
    this.boxes.splice(this.boxes.indexOf(this.#box('a')), 1)
    if (this.#random.once(2)) {
      await calls.create({ name: 'a', role: undefined, limits: NO_LIMITS })
      return this.found('a')
    }
    await calls.rename({ from: 'INBOX', to: 'a', limits: NO_LIMITS })
    const rows = [...inbox.rows.values()]
    become(inbox, (await calls.get({ mailbox: inbox.id })).modseq, new Map())
    await this.found('a')
    const a = this.#box('a')
    const modseq = newest(a)
    a.states.clear()
    become(a, modseq, new Map(rows.map((row, i) => [i + 1, { ...row, modseq }])))
  }
}
