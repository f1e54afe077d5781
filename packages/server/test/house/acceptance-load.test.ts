// Acceptance under load (M-32): many mails, many connections, many slow ones.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ANNA, BEN, count, greeted, LINE, populated, reading, send } from './conversations.ts'
import type { Running, Talker } from './fixture.ts'

const text = 'From: <carl@example.net>\r\nSubject: flood\r\n\r\nhi'

/** Resolves when nobody is connected any more; what is left of them then would be left for ever. */
async function quiet(running: Running): Promise<void> {
  for (let turn = 0; turn < 10_000; turn++) {
    const { connections } = await running.house.status()
    if (Object.values(connections).every((open) => open === 0)) return
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.fail(`still connected: ${JSON.stringify((await running.house.status()).connections)}`)
}

test('M-32: a flood on one connection, on ten, and of transactions that come to nothing: no error, nothing is left behind', async (t) => {
  const running = await populated(t)
  const hundred = async (to: string): Promise<void> => {
    const smtp = await greeted(running)
    for (let i = 0; i < 100; i++) assert.match(await send(smtp, { to: [to], text }), /^250 /)
    await smtp.ask('QUIT', LINE)
  }
  await hundred(ANNA.address)
  await Promise.all(Array.from({ length: 10 }, () => hundred(BEN.address)))
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const smtp = await greeted(running)
      for (let i = 0; i < 100; i++)
        for (const line of ['MAIL FROM:<carl@example.net>', `RCPT TO:<${ANNA.address}>`, 'RSET'])
          assert.match(await smtp.ask(line, LINE), /^250 /)
      await smtp.ask('QUIT', LINE)
    }),
  )
  for (const [person, mails] of [
    [ANNA, 100],
    [BEN, 1000],
  ] as const) {
    const imap = await reading(running, person)
    assert.equal(await count(imap), mails)
    imap.socket.destroy()
  }
  await quiet(running)
  assert.deepEqual(readdirSync(join(running.folder, 'data', 'spool')), [])
  assert.deepEqual(
    running.lines.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
  )
})

const SLOW = 300

test(`${SLOW} slow connections do not slow one that is not`, async (t) => {
  const running = await populated(t)
  const mails = 20
  /** Milliseconds of the middle one of some mails, each on a connection of its own. */
  const median = async (): Promise<number> => {
    const times: number[] = []
    for (let i = 0; i < mails; i++) {
      const begun = performance.now()
      const smtp = await greeted(running)
      assert.match(await send(smtp, { to: [ANNA.address], text }), /^250 /)
      await smtp.ask('QUIT', LINE)
      times.push(performance.now() - begun)
    }
    return times.toSorted((a, b) => a - b)[mails / 2] ?? 0
  }
  await median()
  const alone = await median()
  // A third each: in the middle of a command, waiting behind RCPT, in the middle of a message that comes drop by drop.
  const slow: Talker[] = []
  for (let i = 0; i < SLOW; i++) {
    const smtp = await greeted(running)
    slow.push(smtp)
    if (i % 3 === 0) smtp.socket.write('MAIL FR')
    else {
      await smtp.ask('MAIL FROM:<carl@example.net>', LINE)
      await smtp.ask(`RCPT TO:<${BEN.address}>`, LINE)
      if (i % 3 === 2) await smtp.ask('DATA', LINE)
    }
  }
  const drops = setInterval(() => {
    for (const [i, { socket }] of slow.entries()) if (i % 3 === 2) socket.write('a line\r\n')
  }, 100)
  const among = await median()
  clearInterval(drops)
  const { connections } = await running.house.status()
  assert.ok((connections['smtp'] ?? 0) >= SLOW, 'the slow ones were all there')
  for (const { socket } of slow) socket.destroy()
  await quiet(running)
  // Wide enough for a machine that other tests keep busy; who waited for the slow ones would wait for minutes. The figure is in bench/.
  assert.ok(among < 10 * alone + 200, `${alone} ms alone, ${among} ms among slow ones`)
  t.diagnostic(`${alone.toFixed(1)} ms alone, ${among.toFixed(1)} ms among ${SLOW} slow ones`)
})
