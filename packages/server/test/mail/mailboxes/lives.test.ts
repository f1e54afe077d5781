// Random lives of two accounts that share: the mailboxes come and go, limits refuse, rights are given and taken back, the server restarts. All against a model
// that is too simple to be wrong. AVISO_FUZZ_SECONDS: for how long; AVISO_FUZZ_SEED: with which dice.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ALL_RIGHTS, BackendError, type MailAccount, type Mailbox } from '@aviso/imap'
import * as fc from 'fast-check'
import type { Neighbours } from '../../../src/mail/mailboxes/sharing/sharing.ts'
import { account, type House, message, openHouse } from './fixture.ts'
import { type Box, Model, type Owner, OWNERS, type Row, same } from './lives-model.ts'

const SECONDS = Number(process.env['AVISO_FUZZ_SECONDS'] ?? 20)
const DAY = 86_400_000

const owner = fc.constantFrom(...OWNERS)
const name = fc.constantFrom('INBOX', 'a', 'a/b', 'c', 'INBOX/d')
/** Whose mail a command is about, and who gives it. */
const at = fc.record({
  owner,
  name: fc.constantFrom('INBOX', 'INBOX', 'INBOX', 'a', 'a/b', 'c', 'INBOX/d'),
  visiting: fc.nat(2).map((dice) => dice === 0),
})
/** Which of the rows: a bit mask, walked round. */
const choice = fc.nat(0xffff)
const flags = fc.subarray(['\\Seen', '\\Deleted', '\\Flagged', 'work', '$Junk'])
const rights = fc.constantFrom(undefined, 'lr', 'lri', 'lrswite', ALL_RIGHTS)
const limit = fc.constantFrom('none' as const, 'tight' as const, 'loose' as const)

const frequent = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    at,
    count: fc.integer({ min: 1, max: 5 }),
    flags,
    big: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('store' as const),
    at,
    choice,
    action: fc.constantFrom('set' as const, 'add' as const, 'remove' as const),
    flags,
    /** How far back `unchangedSince` lies; none for 0. */
    back: fc.nat(3),
  }),
  fc.record({ kind: fc.constant('expunge' as const), at, choice }),
  fc.record({ kind: fc.constantFrom('copy' as const, 'move' as const), at, to: at, choice }),
  fc.record({ kind: fc.constant('replace' as const), at, to: at, choice, flags, big: fc.boolean() }),
)
const rare = fc.oneof(
  fc.record({ kind: fc.constant('create' as const), owner, name }),
  fc.record({ kind: fc.constant('delete' as const), owner, name }),
  fc.record({
    kind: fc.constant('rename' as const),
    owner,
    name,
    to: fc.constantFrom('a', 'a/b', 'c', 'e/f', 'INBOX/d'),
  }),
  fc.record({ kind: fc.constant('limit' as const), owner, octets: limit, messages: limit, mailboxes: limit }),
  fc.record({ kind: fc.constant('find' as const), at, word: fc.nat(8) }),
  fc.record({ kind: fc.constant('sweep' as const), owner, days: fc.constantFrom(0, 1, 9) }),
  fc.record({ kind: fc.constant('restart' as const) }),
)
const share = fc.record({
  kind: fc.constant('share' as const),
  owner,
  name: fc.constantFrom('INBOX', 'INBOX', 'a', 'c'),
  rights,
})
const step = fc.oneof(
  { weight: 6, arbitrary: frequent },
  { weight: 3, arbitrary: rare },
  { weight: 1, arbitrary: share },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never
type At = { readonly owner: Owner; readonly name: string; readonly visiting: boolean }

const PEOPLE = new Map(OWNERS.map((id) => [id as string, account(id)]))
const neighbours: Neighbours = {
  byAddress: async (address) => [...PEOPLE.values()].find((one) => one.address === address),
  byId: async (id) => PEOPLE.get(id),
  watch: () => () => {},
}
const other = (one: Owner): Owner => (one === 'anna' ? 'ben' : 'anna')
const who = ({ owner, visiting }: At): Owner => (visiting ? other(owner) : owner)
/** The name as `user` says it. */
const named = ({ owner, name }: { readonly owner: Owner; readonly name: string }, user: Owner): string =>
  owner === user ? name : `Other Users/${owner}@example.org/${name}`

class Life {
  readonly folder = mkdtempSync(join(tmpdir(), 'aviso-lives-'))
  readonly model = new Model()
  #house: House | undefined
  #time = 0
  /** Two sessions of each user: one gives the commands, the other looks. */
  #sessions = new Map<string, MailAccount>()
  /** Mailboxes that a session has open, by user and the mailbox's id: they outlive renames. */
  #open = new Map<string, Mailbox>()
  #made = 0

  get house(): House {
    assert.ok(this.#house !== undefined)
    return this.#house
  }

  async begin(): Promise<void> {
    await this.#start()
    for (const id of OWNERS) {
      await this.house.mailboxes.room.create(account(id))
      for (const entry of await this.session(id).list())
        if (entry.selectable) await this.#meet(id, entry.name, entry.id)
    }
    await this.run({ kind: 'share', owner: 'anna', name: 'INBOX', rights: 'lri' })
    await this.run({ kind: 'share', owner: 'ben', name: 'INBOX', rights: 'lrswite' })
  }

  async #start(): Promise<void> {
    this.#house = await openHouse({ folder: this.folder, neighbours })
    this.#house.clock.turn(this.#time)
  }

  async #stop(): Promise<void> {
    for (const session of this.#sessions.values()) session.close()
    this.#sessions = new Map()
    this.#open = new Map()
    await this.#house?.close()
    this.#house = undefined
  }

  async close(): Promise<void> {
    await this.#stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  session(user: Owner, looking = false): MailAccount {
    const key = `${user} ${looking}`
    const session = this.#sessions.get(key) ?? this.house.open(user)
    this.#sessions.set(key, session)
    return session
  }

  async #meet(owner: Owner, name: string, id: string): Promise<void> {
    const { uidValidity } = await this.session(owner).status(name)
    this.model.meet(owner, name, id, uidValidity)
  }

  /** The mailbox as the user has it open; opened now when it is not. */
  async #mailbox(place: At, box: Box): Promise<Mailbox> {
    const user = who(place)
    const key = `${user} ${box.id}`
    const mailbox = this.#open.get(key) ?? (await this.session(user).open(named(place, user)))
    assert.equal(mailbox.id, box.id)
    this.#open.set(key, mailbox)
    return mailbox
  }

  #bytes(big: boolean): { readonly bytes: Uint8Array; readonly body: string } {
    const nth = ++this.#made
    // What is over 256 KiB is a file of its own.
    const body = `word${nth % 8} unique${nth}x\r\n${big && nth % 5 === 0 ? `${nth} filling\r\n`.repeat(30_000) : 'line\r\n'.repeat(nth % 50)}`
    return { bytes: message(`m${nth}`, body), body }
  }

  /** Runs what the model expects to be done, or refused with one of these codes. */
  async #expect<T>(refusal: readonly string[] | undefined, work: () => Promise<T>): Promise<T | undefined> {
    if (refusal === undefined) return work()
    await assert.rejects(work, (error: unknown) => {
      assert.ok(error instanceof BackendError, String(error))
      assert.ok(
        refusal.includes(error.code ?? ''),
        `${String(error.code)} ${error.message}: expected ${refusal.join()}`,
      )
      return true
    })
    return undefined
  }

  async run(one: Step): Promise<void> {
    const { model } = this
    switch (one.kind) {
      case 'restart':
        await this.#stop()
        return this.#start()
      case 'sweep':
        this.#time += one.days * DAY
        this.house.clock.turn(one.days * DAY)
        await this.house.mailboxes.sweep(one.owner)
        // The hand that turns the clock sets off the hourly sweep of all accounts, too.
        if (this.#time > 7 * DAY) model.trimmed = true
        return
      case 'limit': {
        const change = model.limit(one.owner, one)
        await this.house.mailboxes.setQuota(one.owner, change)
        return
      }
      case 'share': {
        const box = model.find(one.owner, one.name)
        const session = this.session(one.owner)
        await this.#expect(box === undefined ? ['NONEXISTENT'] : undefined, async () =>
          session.setAcl?.(one.name, `${other(one.owner)}@example.org`, one.rights),
        )
        if (box !== undefined) box.given = one.rights ?? ''
        return
      }
      case 'create':
      case 'delete':
      case 'rename':
        return this.#names(one)
      default:
        return this.#messages(one)
    }
  }

  async #names(one: Extract<Step, { kind: 'create' | 'delete' | 'rename' }>): Promise<void> {
    const { model } = this
    const session = this.session(one.owner)
    if (one.kind === 'create')
      await this.#expect(model.createRefusal(one.owner, one.name), () => session.create(one.name))
    else if (one.kind === 'delete') {
      const refusal = model.deleteRefusal(one.owner, one.name)
      await this.#expect(refusal, () => session.delete(one.name))
      if (refusal === undefined) model.remove(one.owner, one.name)
    } else {
      const refusal = model.renameRefusal(one.owner, one.name, one.to)
      await this.#expect(refusal, () => session.rename(one.name, one.to))
      if (refusal === undefined && one.name !== 'INBOX') model.rename(one.owner, one.name, one.to)
    }
    const before = new Set(model.of(one.owner).map(({ id }) => id))
    const entries = (await session.list()).filter(({ selectable, name }) => selectable && !name.startsWith('Other'))
    for (const entry of entries) if (!before.has(entry.id)) await this.#meet(one.owner, entry.name, entry.id)
    assert.deepEqual(
      entries.map(({ name, id }) => `${name} ${id}`).sort(),
      model
        .of(one.owner)
        .map(({ name, id }) => `${name} ${id}`)
        .sort(),
    )
    const target = one.kind === 'rename' && one.name === 'INBOX' ? model.find(one.owner, one.to) : undefined
    const inbox = model.find(one.owner, 'INBOX')
    if (target !== undefined && !before.has(target.id) && inbox !== undefined) {
      for (const [uid, row] of inbox.rows) {
        target.add(row)
        inbox.rows.delete(uid)
      }
    }
  }

  async #messages(
    one: Extract<Step, { kind: 'append' | 'store' | 'expunge' | 'copy' | 'move' | 'replace' | 'find' }>,
  ): Promise<void> {
    const { model } = this
    const user = who(one.at)
    const box = model.find(one.at.owner, one.at.name)
    const session = this.session(user)
    if (one.kind === 'append') {
      const made = Array.from({ length: one.count }, () => this.#bytes(one.big))
      const rows = made.map(({ bytes, body }) => ({ flags: new Set(one.flags), size: bytes.length, body }))
      const refusal = model.appendRefusal(one.at.owner, box, user, rows)
      const done = await this.#expect(refusal, () =>
        session.append(
          named(one.at, user),
          made.map(({ bytes }) => ({ bytes, flags: one.flags })),
        ),
      )
      if (done !== undefined && box !== undefined) {
        assert.equal(done.uidValidity, box.uidValidity)
        assert.deepEqual(
          done.uids,
          rows.map((row) => box.add({ ...row, flags: model.allowed(box, user, row.flags) })),
        )
      }
      return
    }
    if (box === undefined || !model.rights(box, user).includes('r')) {
      await this.#expect(['NONEXISTENT', 'NOPERM'], () => session.open(named(one.at, user)))
      const held = box === undefined ? undefined : this.#open.get(`${user} ${box.id}`)
      if (held !== undefined) await this.#expect(['NONEXISTENT'], () => held.snapshot())
      return
    }
    const mailbox = await this.#mailbox(one.at, box)
    const chosen =
      one.kind === 'find' ? [] : [...box.rows.keys()].filter((_, i) => ((one.choice >> (i % 16)) & 1) === 1)
    const may = model.rights(box, user)
    switch (one.kind) {
      case 'find': {
        const all = [...box.rows.keys()]
        const found: number[] = []
        const query = { kind: 'text' as const, text: `WORD${one.word} ` }
        assert.ok(mailbox.find !== undefined)
        for await (const { uids } of mailbox.find(query, all)) found.push(...uids)
        assert.deepEqual(
          found,
          all.filter((uid) => box.rows.get(uid)?.body.startsWith(`word${one.word} `)),
        )
        return
      }
      case 'store': {
        // What a visitor with few rights may do to each flag is told in sharing.test.ts.
        if (user !== one.at.owner && (chosen.length === 0 || one.flags.length === 0)) return
        const since = one.back === 0 ? undefined : (box.seen.at(-one.back)?.highest ?? 0)
        const refusal = may.includes('w') ? undefined : ['NOPERM']
        const change = { action: one.action, flags: one.flags }
        const done = await this.#expect(refusal, () => mailbox.store(chosen, change, since))
        if (done === undefined) return
        const failed = chosen.filter((uid) => since !== undefined && (box.modseqs.get(uid) ?? 0) > since)
        assert.deepEqual(done.modified, failed)
        for (const uid of chosen) if (!failed.includes(uid)) box.store(uid, one.action, one.flags)
        assert.deepEqual(
          done.rows.map((row) => [row.uid, [...row.flags].sort()]),
          chosen
            .filter((uid) => !failed.includes(uid))
            .map((uid) => [uid, [...(box.rows.get(uid)?.flags ?? [])].sort()]),
        )
        return
      }
      case 'expunge': {
        if (user !== one.at.owner && chosen.length === 0) return
        const gone = chosen.filter((uid) => box.rows.get(uid)?.flags.has('\\Deleted'))
        const done = await this.#expect(may.includes('e') ? undefined : ['NOPERM'], () => mailbox.expunge(chosen))
        if (done === undefined) return
        assert.deepEqual(done.uids, gone)
        for (const uid of gone) box.rows.delete(uid)
        return
      }
      case 'copy':
      case 'move':
      case 'replace':
        return this.#transfer(one, box, mailbox, one.kind === 'replace' ? chosen.slice(0, 1) : chosen)
    }
  }

  async #transfer(
    one: Extract<Step, { kind: 'copy' | 'move' | 'replace' }>,
    box: Box,
    mailbox: Mailbox,
    chosen: readonly number[],
  ): Promise<void> {
    if (chosen.length === 0) return
    const { model } = this
    const user = who(one.at)
    const target = model.find(one.to.owner, one.to.name)
    const rows = chosen.map((uid) => box.rows.get(uid)).filter((row) => row !== undefined)
    const discards = one.kind !== 'copy'
    const within = one.at.owner === one.to.owner
    const made = this.#bytes(one.kind === 'replace' && one.big)
    const coming: readonly Row[] =
      one.kind === 'replace'
        ? [{ flags: new Set(one.flags), size: made.bytes.length, body: made.body }]
        : rows.map((row) => ({ ...row, flags: new Set(row.flags) }))
    const refusal =
      discards && !/t.*e/.test(model.rights(box, user))
        ? ['NOPERM', 'TRYCREATE']
        : model.appendRefusal(one.to.owner, target, user, coming, within && discards ? rows : [])
    const destination = named(one.to, user)
    const done = await this.#expect(refusal, async () => {
      if (one.kind !== 'replace') {
        const { source, destination: uids, uidValidity } = await mailbox[one.kind](chosen, destination)
        assert.deepEqual(source, chosen)
        return { uids, uidValidity }
      }
      return mailbox.replace(chosen[0] ?? 0, destination, { bytes: made.bytes, flags: one.flags })
    })
    if (done === undefined || target === undefined) return
    assert.equal(done.uidValidity, target.uidValidity)
    assert.deepEqual(
      done.uids,
      coming.map((row) => target.add({ ...row, flags: model.allowed(target, user, row.flags) })),
    )
    if (discards) for (const uid of chosen) box.rows.delete(uid)
  }

  /** What each of the two owners' sessions sees is what the model says. */
  async check(): Promise<void> {
    for (const id of OWNERS) {
      const clock = this.model.clock(id)
      for (const box of this.model.of(id)) await this.#checkBox(box, clock)
      const { octets, messages, mailboxes } = await this.house.mailboxes.quota(id)
      assert.deepEqual({ octets, messages, mailboxes }, this.model.usage(id))
    }
  }

  async #checkBox(box: Box, clock: number): Promise<void> {
    const looking = this.session(box.owner, true)
    const key = `looking ${box.id}`
    const mailbox = this.#open.get(key) ?? (await looking.open(box.name))
    this.#open.set(key, mailbox)
    const status = await looking.status(box.name)
    const snapshot = await mailbox.snapshot()
    assert.deepEqual([...snapshot.uids], [...box.rows.keys()])
    const now = new Map<number, string>()
    for (const [i, uid] of snapshot.uids.entries()) {
      const row = box.rows.get(uid)
      const modseq = snapshot.modseqs[i] ?? 0
      assert.ok(row !== undefined)
      const shown = snapshot.flagSets[snapshot.flags[i] ?? -1] ?? []
      assert.deepEqual([[...shown].sort(), snapshot.sizes[i]], [[...row.flags].sort(), row.size])
      now.set(uid, `${[...shown].sort().join(' ')} ${modseq}`)
      // What did not change keeps its modseq; what did is newer than anything that the account had.
      const before = box.seen.at(-1)?.rows.get(uid)
      const unchanged = before?.replace(/ \d+$/, '') === [...shown].sort().join(' ')
      if (unchanged && before !== undefined) assert.equal(now.get(uid), before)
      else assert.ok(modseq > clock, `UID ${uid} of ${box.name} has modseq ${modseq}, the account had ${clock}`)
      assert.ok(modseq <= snapshot.highestModseq)
      box.modseqs.set(uid, modseq)
    }
    const last = box.seen.at(-1)
    assert.ok(snapshot.highestModseq >= (last?.highest ?? 0), 'the clock never goes back')
    if (last !== undefined && !same(last.rows, now)) assert.ok(snapshot.highestModseq > clock)
    assert.deepEqual(
      [status.uidValidity, status.uidNext, snapshot.uidNext, status.highestModseq, status.id],
      [box.uidValidity, box.next, box.next, snapshot.highestModseq, box.id],
    )
    assert.deepEqual([status.messages, status.unseen, status.deleted, status.size, status.deletedSize], box.counts())
    for (const old of box.seen) {
      const delta = await mailbox.delta(old.highest)
      assert.equal(delta.highestModseq, snapshot.highestModseq)
      const built = new Map(old.rows)
      for (const uid of delta.vanished) {
        assert.ok(!now.has(uid) && uid < box.next, `UID ${uid} has vanished and is there`)
        built.delete(uid)
      }
      for (const row of delta.changed) {
        assert.ok(row.modseq > old.highest, 'only what changed is told')
        built.set(row.uid, `${[...row.flags].sort().join(' ')} ${row.modseq}`)
      }
      if (!delta.complete) {
        assert.ok(this.model.trimmed, 'history is there until it is trimmed')
        for (const uid of built.keys()) if (!now.has(uid)) built.delete(uid)
      }
      assert.ok(
        same(built, now),
        `${box.name} since ${old.highest}: ${[...built].join('; ')} is not ${[...now].join('; ')}`,
      )
    }
    box.saw(snapshot.highestModseq, now)
  }

  /** Every message says what it said; the doctor finds nothing. */
  async end(): Promise<void> {
    for (const id of OWNERS) {
      for (const box of this.model.of(id)) {
        const mailbox = await this.session(id).open(box.name)
        for (const [uid, { body }] of box.rows) {
          const bytes = await mailbox.raw(uid)
          assert.ok(
            bytes !== undefined && Buffer.from(bytes).toString().endsWith(`\r\n\r\n${body}`),
            `UID ${uid} of ${box.name}`,
          )
        }
      }
      // The octets of large messages that were refused wait for the sweep.
      await this.house.mailboxes.sweep(id)
      for await (const finding of this.house.mailboxes.examine(id, false)) assert.fail(finding.text)
    }
  }
}

test(
  'two accounts that share: whatever happens, the store is what the model is',
  { timeout: (SECONDS + 100) * 1000 },
  async (t) => {
    const given = process.env['AVISO_FUZZ_SEED']
    const seed = given === undefined ? Date.now() % 0x7fffffff : Number(given)
    t.diagnostic(`seed ${seed}: AVISO_FUZZ_SEED=${seed} repeats it`)
    let lives = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), async (steps) => {
        const life = new Life()
        lives++
        try {
          await life.begin()
          await life.check()
          for (const one of steps) {
            await life.run(one)
            await life.check()
          }
          await life.end()
        } finally {
          await life.close()
        }
      }),
      { seed, numRuns: 1_000_000, interruptAfterTimeLimit: SECONDS * 1000 },
    )
    t.diagnostic(`${lives} lives`)
  },
)
