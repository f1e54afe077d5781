import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { systemClock } from '../../src/kernel/clock.ts'
import { openLog } from '../../src/kernel/log.ts'
import { Metrics } from '../../src/kernel/metrics.ts'

function logTo(config: { level: 'info' | 'debug'; format: 'auto' | 'json' | 'pretty' }, isTTY = false) {
  const written: string[] = []
  return { log: openLog(config, { write: (line) => void written.push(line), isTTY }), written }
}

describe('the log', () => {
  test('is JSON for machines: one object a line, with the ids of its session', () => {
    const { log, written } = logTo({ level: 'info', format: 'auto' })
    log.child({ module: 'smtp' }).child({ session: 's1' }).info({ mail: 'm1', password: 'secret' }, 'mail accepted')
    log.debug({}, 'too small')
    assert.equal(written.length, 1)
    const line = JSON.parse(written[0] ?? '') as Record<string, unknown>
    assert.equal(line['level'], 'info')
    assert.equal(line['module'], 'smtp')
    assert.equal(line['session'], 's1')
    assert.equal(line['mail'], 'm1')
    assert.equal(line['password'], '[hidden]')
    assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/)
  })

  test('is short on a terminal', () => {
    const { log, written } = logTo({ level: 'info', format: 'auto' }, true)
    log.child({ module: 'smtp', session: 's1' }).warn({ mail: 'm1', tries: [1, 2] }, 'later')
    log.error({ err: new Error('boom') }, 'failed')
    assert.match(
      stripVTControlCharacters(written[0] ?? ''),
      /^\d\d:\d\d:\d\d\.\d{3} warn {2}smtp s1 later mail=m1 tries=\[ 1, 2 \]\n$/,
    )
    assert.match(stripVTControlCharacters(written[1] ?? ''), /^\S+ error failed\nError: boom\n {4}at /)
  })

  test('what a peer sent can neither move the cursor nor forge a line', () => {
    const { log, written } = logTo({ level: 'info', format: 'pretty' })
    log.info({ hello: 'a\u001b[2J\r\n12:00 info all is well\u009b1m' }, 'greeted\nby')
    const line = stripVTControlCharacters(written[0] ?? '')
    assert.equal(line.split('\n').length, 2)
    assert.ok(line.includes('greeted\\x0aby'))
    assert.ok(line.includes('hello=a\\x1b[2J\\x0d\\x0a12:00 info all is well\\x9b1m'))
  })
})

describe('metrics', () => {
  test('a reloaded module goes on counting', async () => {
    const metrics = new Metrics()
    const count = () => metrics.counter('aviso_test_total', 'Tests', ['outcome'])
    count().inc({ outcome: 'ok' })
    count().inc({ outcome: 'ok' }, 2)
    metrics.gauge('aviso_open', 'Open').set({}, 4)
    metrics.histogram('aviso_seconds', 'Time', [], [0.1, 1]).observe({}, 0.5)
    const text = await metrics.text()
    assert.match(text, /aviso_test_total\{outcome="ok"\} 3/)
    assert.match(text, /aviso_open 4/)
    assert.match(text, /aviso_seconds_bucket\{le="1"\} 1/)
    assert.ok(text.endsWith('# EOF\n'))
  })

  test('the process is watched once, however often one asks', async () => {
    const metrics = new Metrics()
    const stop = metrics.watchProcess()
    metrics.watchProcess()()
    assert.match(await metrics.text(), /aviso_event_loop_delay_seconds\{quantile="0.99"\}/)
    stop()
  })
})

test('the clock of the machine can wait longer than a timer of Node', () => {
  const timer = systemClock.timeout(30 * 86_400_000, () => assert.fail('fired at once'))
  return new Promise<void>((resolve) =>
    setTimeout(() => {
      timer.cancel()
      resolve()
    }, 5),
  )
})
