// A program as a check.

import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { systemClock } from '../../../src/kernel/clock.ts'
import { Message } from '../../../src/mail/pipeline/message.ts'
import { fillArguments, runProgram } from '../../../src/mail/programs/run.ts'
import { type House, MESSAGE, openHouse, refusal } from '../pipeline/house.ts'
import { testFolder } from '../../accounts/tables/fixture.ts'

const to = ['anna@example.org']

/** A house whose check is this shell script. */
async function scripted(t: TestContext, body: string, settings: object = {}): Promise<House & { folder: string }> {
  const folder = testFolder(t)
  const file = join(folder, 'check')
  writeFileSync(file, `#!/bin/sh\n${body}\n`)
  chmodSync(file, 0o755)
  const house = await openHouse(t, {
    config: { incoming: { checks: { command: { command: file, ...settings } } } },
  })
  return { ...house, folder }
}

describe('command', () => {
  test('M-26 CheckCommand: the program sees the message, its header fields are added, its exit status decides', async (t) => {
    const house = await scripted(
      t,
      'cat > "$(dirname "$0")/seen"\necho "X-Seen: yes"\nprintf "X-Long: one\\n\\ttwo\\n"\nexit 0',
    )
    await house.receive({ to })
    assert.equal(readFileSync(join(house.folder, 'seen'), 'utf8'), MESSAGE)
    const [mail = ''] = await house.mails('anna')
    assert.match(mail, /Received: [^]*\r\nX-Seen: yes\r\nX-Long: one\r\n\ttwo\r\nFrom: bo@example\.net\r\n/)
    const refusing = await scripted(t, 'exit 1')
    await assert.rejects(refusing.receive({ to }), refusal(550, '5.7.1'))
    const doubting = await scripted(t, 'echo "X-Doubt: 1"; exit 2')
    await doubting.receive({ to })
    assert.match((await doubting.mails('anna', 'Junk'))[0] ?? '', /X-Doubt: 1/)
  })

  test('exit statuses mean what the config says, with codes and text of one’s own', async (t) => {
    const codes = { 7: { action: 'defer', code: 450, text: 'Not on Sundays' }, 8: 'accept' }
    const house = await scripted(t, 'exit 7', { 'exit-codes': codes })
    await assert.rejects(house.receive({ to }), refusal(450, '4.7.0', /^Not on Sundays$/))
    await (await scripted(t, 'exit 8', { 'exit-codes': codes })).receive({ to })
  })

  const failures: readonly (readonly [name: string, script: string])[] = [
    ['another exit status', 'exit 3'],
    ['a signal', 'kill -9 $$'],
    ['something that is no header', 'echo "Hello there"'],
    ['a body behind the header', 'printf "X-A: b\\n\\nX-C: d\\n"'],
    ['endless output', 'cat /dev/zero'],
  ]
  for (const [name, script] of failures)
    test(`X-02 ${name} defers the mail`, async (t) => {
      const house = await scripted(t, script)
      await assert.rejects(house.receive({ to }), refusal(451, '4.3.0'))
      assert.deepEqual(await house.mails('anna'), [])
    })

  test('a program that is not there defers the mail, or what the config says', async (t) => {
    const open = (more: object) =>
      openHouse(t, { config: { incoming: { checks: { command: { command: '/nowhere/check', ...more } } } } })
    await assert.rejects((await open({})).receive({ to }), refusal(451, '4.3.0'))
    await (await open({ failure: 'accept' })).receive({ to })
  })

  test('X-20 a program that hangs is ended with its children, and the mail deferred', async (t) => {
    const house = await scripted(
      t,
      'sleep 600 & echo $! > "$(dirname "$0")/child.part"; mv "$(dirname "$0")/child.part" "$(dirname "$0")/child"; wait',
    )
    const refused = assert.rejects(house.receive({ to }), refusal(451, '4.3.0'))
    const child = join(house.folder, 'child')
    while (!existsSync(child)) await new Promise((resolve) => setImmediate(resolve))
    const pid = Number(readFileSync(child, 'utf8'))
    house.clock.turn(20_000)
    await refused
    const gone = (): boolean => {
      try {
        // A process that ended and was not waited for by its parent is a zombie.
        return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
      } catch {
        return true
      }
    }
    for (let turn = 0; turn < 500 && !gone(); turn++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.ok(gone())
  })

  test('a program that runs when the server stops is ended', async (t) => {
    const house = await scripted(t, 'touch "$(dirname "$0")/begun"; sleep 600')
    const refused = assert.rejects(house.receive({ to }), refusal(451, '4.3.0'))
    while (!existsSync(join(house.folder, 'begun'))) await new Promise((resolve) => setImmediate(resolve))
    await house.scope.close()
    await refused
  })

  test('a program that reads nothing of a large message is no failure', async (t) => {
    const house = await scripted(t, 'exec <&-; exit 0')
    await house.receive({ to, message: `From: a@b.example\r\n\r\n${'x'.repeat(998)}\r\n`.repeat(3000) })
  })

  test('arguments: placeholders are filled, a list alone fills one argument each, no shell looks at them', async (t) => {
    const house = await scripted(
      t,
      'for one in "$@"; do echo "$one"; done > "$(dirname "$0")/args"; env > "$(dirname "$0")/env"',
      {
        arguments: [
          '{ip}',
          '{name}',
          'from={sender}',
          '{recipients}',
          'all={recipients}',
          '{account}',
          '-x{hello}',
          '$(touch /tmp/x); `id`',
        ],
      },
    )
    await house.receive({ to: ['anna@example.org', 'ben@example.org'], from: "o'neil$`id`@example.net" })
    assert.deepEqual(readFileSync(join(house.folder, 'args'), 'utf8').split('\n').slice(0, -1), [
      '192.0.2.7',
      '',
      "from=o'neil$`id`@example.net",
      'anna@example.org',
      'ben@example.org',
      'all=anna@example.org ben@example.org',
      '',
      '-xmx.example.net',
      '$(touch /tmp/x); `id`',
    ])
    assert.match(
      readFileSync(join(house.folder, 'env'), 'utf8'),
      /^AVISO_RECIPIENTS=anna@example\.org ben@example\.org$/m,
    )
  })

  test('an address that would be an option is refused', async (t) => {
    const house = await scripted(t, 'exit 0', { arguments: ['{sender}'] })
    await assert.rejects(house.receive({ to, from: '-f@example.net' }), refusal(553, '5.1.7'))
    const beside = await scripted(t, 'exit 0', { arguments: ['--from={sender}'] })
    await beside.receive({ to, from: '-f@example.net' })
  })

  test('it can run at MAIL or at each RCPT', async (t) => {
    const house = await scripted(t, 'test "$1" = ben@example.org && exit 1; exit 0', {
      stage: 'recipient',
      arguments: ['{recipient}'],
    })
    await house.receive({ to })
    await assert.rejects(house.receive({ to: ['ben@example.org'] }), refusal(550, '5.7.1'))
    const early = await scripted(t, 'test -z "$(cat)" && exit 1', { stage: 'sender' })
    await assert.rejects(early.receive({ to }), refusal(550, '5.7.1'), 'there is no message yet')
  })

  test('it can run once a session, before anything is known but the client', async (t) => {
    const house = await scripted(t, 'echo x >> "$(dirname "$0")/runs"; test "$1$2" = 192.0.2.7 || exit 1', {
      stage: 'connection',
      arguments: ['{ip}', '{sender}'],
    })
    await house.receive({ to })
    await house.receive({ to: ['ben@example.org'] })
    assert.equal(readFileSync(join(house.folder, 'runs'), 'utf8'), 'x\n')
    const refusing = await scripted(t, 'exit 1', { stage: 'connection' })
    for (let i = 0; i < 2; i++) await assert.rejects(refusing.receive({ to }), refusal(550, '5.7.1'))
  })

  test('it is told of a mail that is only supposed', async (t) => {
    const house = await scripted(t, 'test -n "$AVISO_SIMULATED" && exit 1; exit 0')
    await house.receive({ to })
    const { refusal: refused } = await house.transport.simulate({ from: 'bo@example.net', to, external: true })
    assert.equal(refused?.code, 550)
  })

  test('a placeholder that is none keeps the config from starting', async (t) => {
    await assert.rejects(scripted(t, '', { arguments: ['{sendr}'] }), /'\{sendr\}' in an argument is no placeholder/)
  })
})

describe('runProgram', () => {
  test('gives the message as it is, however large, and what the program wrote', async () => {
    const message = Message.of(Buffer.from(`A: b\r\n\r\n${'0123456789abcdef'.repeat(200_000)}`))
    const { output } = await runProgram(
      { command: 'wc', args: ['-c'], message, timeout: 10_000, environment: {} },
      systemClock,
    )
    assert.equal(Number(output), message.size)
  })

  test('no value ever becomes an option, or more arguments than it should', () =>
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string()), (sender, recipients) => {
        const filled = fillArguments(['x', '{sender}', '{recipients}', 'r={recipients}'], { sender, recipients })
        const options = [sender, ...recipients].some((one) => one.startsWith('-'))
        assert.equal(filled === undefined, options)
        if (filled !== undefined) assert.equal(filled.length, 3 + recipients.length)
      }),
    ))
})
