// Random lives of two mailboxes against a model that is too simple to be wrong.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MailAccount, Mailbox } from '@aviso/imap'
import * as fc from 'fast-check'
import { type House, message, openHouse } from './fixture.ts'

const FLAGS = ['\\Seen', '\\Deleted', '\\Flagged', 'work', 'Later', '$Junk']
const BOXES = ['one', 'two'] as const
type BoxName = (typeof BOXES)[number]

interface ModelRow {
  flags: Set<string>
  readonly size: number
  readonly body: string
}
interface ModelBox {
  readonly rows: Map<number, ModelRow>
  uidNext: number
  modseq: number
  /** Every state that a client may have seen: modseq → rows as text. */
  readonly seen: { readonly modseq: number; readonly rows: Map<number, string> }[]
}

const box = fc.constantFrom(...BOXES)
/** Which of the existing rows: a bit mask, walked round. */
const choice = fc.nat(0xffff)
const flags = fc.subarray(FLAGS)
const step = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), box, count: fc.integer({ min: 1, max: 4 }), flags }),
  fc.record({ kind: fc.constant('deliver' as const), box, count: fc.constant(1), flags }),
  fc.record({
    kind: fc.constant('store' as const),
    box,
    choice,
    action: fc.constantFrom('set' as const, 'add' as const, 'remove' as const),
    flags,
    old: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('expunge' as const), box, choice }),
  fc.record({ kind: fc.constant('copy' as const), box, to: box, choice }),
  fc.record({ kind: fc.constant('move' as const), box, to: box, choice }),
  fc.record({ kind: fc.constant('replace' as const), box, to: box, choice, flags }),
  fc.record({ kind: fc.constant('forget' as const), days: fc.constantFrom(1, 9) }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

class Life {
  readonly house: House
  readonly account: MailAccount
  readonly open = new Map<BoxName, Mailbox>()
  readonly model = new Map<BoxName, ModelBox>()
  made = 0
  trimmed = false

  constructor(house: House) {
    this.house = house
    this.account = house.open()
  }

  async begin(): Promise<void> {
    for (const name of BOXES) {
      await this.account.create(name)
      this.open.set(name, await this.account.open(name))
      const { highestModseq } = await this.account.status(name)
      this.model.set(name, {
        rows: new Map(),
        uidNext: 1,
        modseq: highestModseq,
        seen: [{ modseq: highestModseq, rows: new Map() }],
      })
    }
  }

  at(name: BoxName): { mailbox: Mailbox; model: ModelBox } {
    const mailbox = this.open.get(name)
    const model = this.model.get(name)
    assert.ok(mailbox !== undefined && model !== undefined)
    return { mailbox, model }
  }

  chosen(model: ModelBox, mask: number): number[] {
    return [...model.rows.keys()].filter((_, i) => ((mask >> (i % 16)) & 1) === 1)
  }

  async run(one: Step): Promise<void> {
    if (one.kind === 'forget') {
      this.house.clock.turn(one.days * 86_400_000)
      await this.house.mailboxes.sweep('anna')
      if (one.days > 7) this.trimmed = true
      return
    }
    const { mailbox, model } = this.at(one.box)
    switch (one.kind) {
      case 'append':
      case 'deliver': {
        const bodies = Array.from({ length: one.count }, () =>
          `message ${++this.made}\r\n`.repeat(1 + (this.made % 40)),
        )
        const bytes = bodies.map((body) => message('m', body))
        const uids =
          one.kind === 'append'
            ? (
                await this.account.append(
                  one.box,
                  bytes.map((b) => ({ bytes: b, flags: one.flags })),
                )
              ).uids
            : [
                (
                  await this.house.mailboxes.deliver('anna', {
                    bytes: bytes[0] ?? new Uint8Array(),
                    mailbox: one.box,
                    flags: one.flags,
                    deliveryId: `d${this.made}`,
                  })
                ).uid,
              ]
        for (const [i, uid] of uids.entries()) {
          assert.equal(uid, model.uidNext++, 'UIDs are given in order')
          model.rows.set(uid, { flags: new Set(one.flags), size: bytes[i]?.length ?? 0, body: bodies[i] ?? '' })
        }
        return
      }
      case 'store': {
        const uids = this.chosen(model, one.choice)
        const limit = one.old ? model.modseq - 1 : undefined
        const before = await mailbox.snapshot()
        const failed =
          limit === undefined ? [] : uids.filter((uid) => (before.modseqs[before.uids.indexOf(uid)] ?? 0) > limit)
        const result = await mailbox.store([...uids].reverse(), { action: one.action, flags: one.flags }, limit)
        assert.deepEqual(result.modified, failed)
        assert.deepEqual(
          result.rows.map(({ uid }) => uid),
          uids.filter((uid) => !failed.includes(uid)),
        )
        for (const { uid, flags: now } of result.rows) {
          const row = model.rows.get(uid)
          assert.ok(row !== undefined)
          if (one.action === 'set') row.flags = new Set(one.flags)
          else if (one.action === 'add') for (const flag of one.flags) row.flags.add(flag)
          else for (const flag of one.flags) row.flags.delete(flag)
          assert.deepEqual(new Set(now), row.flags)
        }
        return
      }
      case 'expunge': {
        const uids = this.chosen(model, one.choice)
        const gone = uids.filter((uid) => model.rows.get(uid)?.flags.has('\\Deleted'))
        assert.deepEqual((await mailbox.expunge(uids)).uids, gone)
        for (const uid of gone) model.rows.delete(uid)
        return
      }
      case 'replace': {
        const [uid] = this.chosen(model, one.choice)
        const target = this.at(one.to).model
        const body = `replaced ${++this.made}\r\n`
        const bytes = message('m', body)
        if (uid === undefined) {
          await assert.rejects(mailbox.replace(999_999, one.to, { bytes, flags: one.flags }), { code: 'EXPUNGEISSUED' })
          return
        }
        const { uids } = await mailbox.replace(uid, one.to, { bytes, flags: one.flags })
        assert.deepEqual(uids, [target.uidNext++])
        target.rows.set(uids[0] ?? 0, { flags: new Set(one.flags), size: bytes.length, body })
        model.rows.delete(uid)
        return
      }
      case 'copy':
      case 'move': {
        const uids = this.chosen(model, one.choice)
        const target = this.at(one.to).model
        const result = await mailbox[one.kind](uids, one.to)
        assert.deepEqual(result.source, uids)
        for (const [i, uid] of uids.entries()) {
          const row = model.rows.get(uid)
          assert.ok(row !== undefined)
          assert.equal(result.destination[i], target.uidNext)
          target.rows.set(target.uidNext++, { ...row, flags: new Set(row.flags) })
          if (one.kind === 'move') model.rows.delete(uid)
        }
      }
    }
  }

  async check(name: BoxName): Promise<void> {
    const { mailbox, model } = this.at(name)
    const snapshot = await mailbox.snapshot()
    const status = await this.account.status(name)
    const rows = new Map<number, string>()
    let [unseen, deleted, size, deletedSize] = [0, 0, 0, 0]
    for (const [i, uid] of snapshot.uids.entries()) {
      const set = snapshot.flagSets[snapshot.flags[i] ?? -1]
      const row = model.rows.get(uid)
      assert.ok(set !== undefined && row !== undefined, `UID ${uid} should not be there`)
      assert.deepEqual(new Set(set), row.flags)
      assert.equal(snapshot.sizes[i], row.size)
      assert.ok((snapshot.modseqs[i] ?? Infinity) <= snapshot.highestModseq)
      rows.set(uid, `${[...row.flags].sort().join()} ${snapshot.modseqs[i]}`)
      if (!row.flags.has('\\Seen')) unseen++
      if (row.flags.has('\\Deleted')) {
        deleted++
        deletedSize += row.size
      }
      size += row.size
    }
    assert.deepEqual([...snapshot.uids], [...model.rows.keys()])
    assert.deepEqual(
      [status.messages, status.unseen, status.deleted, status.size, status.deletedSize],
      [rows.size, unseen, deleted, size, deletedSize],
    )
    assert.deepEqual([status.uidNext, status.highestModseq], [model.uidNext, snapshot.highestModseq])
    assert.ok(snapshot.highestModseq >= model.modseq, 'the clock never goes back')
    model.modseq = snapshot.highestModseq
    // A client that slept at any time catches up.
    for (const old of model.seen) {
      const delta = await mailbox.delta(old.modseq)
      const caught = new Map(old.rows)
      for (const uid of delta.vanished) caught.delete(uid)
      for (const row of delta.changed) {
        assert.ok(row.modseq > old.modseq)
        caught.set(row.uid, `${[...row.flags].sort().join()} ${row.modseq}`)
      }
      if (!delta.complete) {
        assert.ok(this.trimmed, 'history is there until it is trimmed')
        for (const uid of caught.keys()) if (!rows.has(uid)) caught.delete(uid)
      }
      assert.deepEqual(
        [...caught].sort((a, b) => a[0] - b[0]),
        [...rows],
      )
    }
    if (model.seen.at(-1)?.modseq !== model.modseq) model.seen.push({ modseq: model.modseq, rows })
  }

  /** All that is counted is what there is: quota, references, mailboxes. */
  async recount(): Promise<void> {
    for await (const finding of this.house.mailboxes.examine('anna', false)) assert.fail(finding.text)
    const { octets, messages } = await this.house.mailboxes.quota('anna')
    const all = [...this.model.values()].flatMap(({ rows }) => [...rows.values()])
    assert.deepEqual([messages, octets], [all.length, all.reduce((sum, { size }) => sum + size, 0)])
  }

  /** Every message still says what it said, and nothing else is kept. */
  async end(): Promise<void> {
    await this.recount()
    for (const name of BOXES) {
      const { mailbox, model } = this.at(name)
      for (const [uid, row] of model.rows) {
        const bytes = await mailbox.raw(uid)
        assert.equal(
          bytes === undefined ? undefined : Buffer.from(bytes).toString().split('\r\n\r\n').slice(1).join('\r\n\r\n'),
          row.body,
        )
      }
    }
    for (const name of BOXES) await this.account.delete(name)
    this.house.clock.turn(30 * 86_400_000)
    assert.equal(await this.house.mailboxes.sweep('anna'), false, 'no email, no history and no delivery is left behind')
  }
}

/** For so long, where that is said; else forty rounds. */
const SECONDS = Number(process.env['AVISO_FUZZ_SECONDS'] ?? 0)

test(
  'whatever happens, UIDs, counts, modseqs, deltas and contents stay right',
  { timeout: (SECONDS + 240) * 1000 },
  async (t) => {
    const given = process.env['AVISO_FUZZ_SEED']
    const seed = given === undefined ? Date.now() % 0x7fffffff : Number(given)
    t.diagnostic(`seed ${seed}: AVISO_FUZZ_SEED=${seed} repeats it`)
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
        const house = await openHouse()
        try {
          const life = new Life(house)
          await life.begin()
          for (const one of steps) {
            await life.run(one)
            for (const name of BOXES) await life.check(name)
          }
          await life.end()
        } finally {
          await house.close()
        }
      }),
      SECONDS === 0 ? { seed, numRuns: 40 } : { seed, numRuns: 1_000_000, interruptAfterTimeLimit: SECONDS * 1000 },
    )
  },
)
