// Several sessions do random things to one mailbox. Each believes only what it is told; in the end all must believe the truth.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { ImapClient, ImapReply } from '../src/index.ts'
import { fill, world } from './harness.ts'

/** A client's belief: UID and flags by sequence number, as far as it was told. */
class Believer {
  readonly client: ImapClient
  readonly messages: { uid: number | undefined; flags: Set<string> | undefined }[] = []
  /** A command with sequence numbers is on its way: no EXPUNGE may be heard. */
  #numbered = false
  #fault: unknown

  constructor(client: ImapClient) {
    this.client = client
    client.onUntagged = ({ text }) => {
      try {
        this.#hear(text)
      } catch (error) {
        this.#fault ??= error
      }
    }
  }

  #hear(text: string): void {
    const match = /^(\d+) (EXISTS|EXPUNGE|FETCH)(?: \((.*)\))?$/s.exec(text)
    if (match === null) return
    const number = Number(match[1])
    if (match[2] === 'EXISTS') {
      assert.ok(number >= this.messages.length, `EXISTS ${number} with ${this.messages.length} messages`)
      while (this.messages.length < number) this.messages.push({ uid: undefined, flags: undefined })
      return
    }
    assert.ok(number >= 1 && number <= this.messages.length, `${text} with ${this.messages.length} messages`)
    if (match[2] === 'EXPUNGE') {
      assert.ok(!this.#numbered, 'EXPUNGE in the answer to a command with sequence numbers')
      this.messages.splice(number - 1, 1)
      return
    }
    const message = this.messages[number - 1]
    assert.ok(message !== undefined)
    const uid = /UID (\d+)/.exec(match[3] ?? '')?.[1]
    if (uid !== undefined) {
      assert.ok(message.uid === undefined || message.uid === Number(uid), `${number} is UID ${message.uid}, not ${uid}`)
      message.uid = Number(uid)
    }
    const flags = /FLAGS \(([^)]*)\)/.exec(match[3] ?? '')?.[1]
    if (flags !== undefined)
      message.flags = new Set(flags.split(' ').filter((flag) => flag !== '' && flag !== '\\Recent'))
  }

  async say(command: string): Promise<ImapReply> {
    this.#numbered = /^(FETCH|STORE|SEARCH)/.test(command)
    const reply = await this.client.raw(command)
    this.#numbered = false
    if (this.#fault !== undefined) throw this.#fault
    assert.ok(reply.status !== 'BAD', `${command}: ${reply.text}`)
    assert.notEqual(reply.code, 'SERVERBUG')
    return reply
  }

  async storeSilently(number: number, action: '+' | '-' | '', flag: string): Promise<void> {
    const before = this.messages[number - 1]
    const known = before?.flags
    if (before === undefined || known === undefined) return
    const predicted = new Set(action === '' ? [] : known)
    if (action === '-') predicted.delete(flag)
    else predicted.add(flag)
    // What is heard with the answer is newer than the prediction.
    before.flags = undefined
    await this.say(`STORE ${number} ${action}FLAGS.SILENT (${flag})`)
    before.flags ??= predicted
  }
}

type Step = readonly [session: number, what: number, a: number, b: number]

/** For so long, where that is said; else a hundred rounds. */
const SECONDS = Number(process.env['AVISO_FUZZ_SECONDS'] ?? 0)

test('what all sessions were told adds up to what is there', { timeout: (SECONDS + 60) * 1000 }, async (t) => {
  const given = process.env['AVISO_FUZZ_SEED']
  const seed = given === undefined ? Date.now() % 0x7fffffff : Number(given)
  t.diagnostic(`seed ${seed}: AVISO_FUZZ_SEED=${seed} repeats it`)
  const step: fc.Arbitrary<Step> = fc.tuple(fc.nat(2), fc.nat(11), fc.nat(99), fc.nat(99))
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const { mail, user } = await world(t, { mailboxes: { other: undefined } })
      await fill(mail, 4)
      const believers = await Promise.all([0, 1, 2].map(async () => new Believer(await user())))
      for (const { client } of believers) await client.select('INBOX')
      const flag = (b: number): string => ['\\Seen', '\\Deleted', '\\Flagged', 'Work'][b % 4] ?? 'Work'
      for (const [session, what, a, b] of steps) {
        const one = believers[session]
        assert.ok(one !== undefined)
        const count = one.messages.length
        const number = count === 0 ? 0 : (a % count) + 1
        const last = Math.min(count, number + (b % 3))
        if (count === 0 && what < 7) continue
        if (what === 0) await one.say(`FETCH ${number}:${last} (UID FLAGS)`)
        else if (what === 1) await one.say(`FETCH ${number} (UID BODY[])`)
        else if (what === 2) await one.say(`STORE ${number}:${last} +FLAGS (${flag(b)})`)
        else if (what === 3) await one.say(`STORE ${number} FLAGS (${flag(b)})`)
        else if (what === 4) await one.storeSilently(number, (['+', '-', ''] as const)[b % 3] ?? '', flag(a))
        else if (what === 5) await one.say(b % 2 === 0 ? `MOVE ${number} other` : `COPY ${number}:${last} INBOX`)
        else if (what === 6) await one.say(`SEARCH ${number}:* UNSEEN`)
        else if (what === 7) await one.say('EXPUNGE')
        else if (what === 8) await one.say('NOOP')
        else if (what === 9) await fill(mail, 1 + (a % 3), 'INBOX', b % 3 === 0 ? ['\\Deleted'] : [])
        else if (what === 10) await one.say(`UID FETCH ${a + 1}:* (FLAGS)`)
        else await (await one.client.idle())()
      }
      const snapshot = await (await mail.open().open('INBOX')).snapshot()
      for (const one of believers) {
        await one.say('NOOP')
        assert.equal(one.messages.length, snapshot.uids.length)
        const heard = one.messages.map((message) =>
          message.flags === undefined ? undefined : [...message.flags].sort(),
        )
        const uids = one.messages.map((message) => message.uid)
        await one.say('UID FETCH 1:* (FLAGS)')
        for (const [i, message] of one.messages.entries()) {
          assert.equal(message.uid, snapshot.uids[i])
          if (uids[i] !== undefined) assert.equal(uids[i], message.uid)
          const truth = [...(snapshot.flagSets[snapshot.flags[i] ?? 0] ?? [])].sort()
          assert.deepEqual([...(message.flags ?? [])].sort(), truth)
          if (heard[i] !== undefined) assert.deepEqual(heard[i], truth, `flags of ${i + 1} as told`)
        }
        await one.client.logout()
      }
    }),
    SECONDS === 0 ? { seed, numRuns: 100 } : { seed, numRuns: 1_000_000, interruptAfterTimeLimit: SECONDS * 1000 },
  )
})
