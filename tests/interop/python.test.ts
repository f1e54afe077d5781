// Python's smtplib and imaplib: sending, reading, filing, IDLE.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { needs, succeed } from './programs.ts'
import { type DemoJourney, startDemo } from './server.ts'

const SCRIPT = fileURLToPath(new URL('clients/mail.py', import.meta.url))

describe('Python', () => {
  let journey: DemoJourney
  before(async () => void (journey = await startDemo()))
  after(async () => assert.equal(await journey.stop(), 0))

  test('smtplib and imaplib', { skip: needs('python3') }, async () => {
    const said = await succeed('python3', [SCRIPT, JSON.stringify(journey.demo.reach)])
    assert.match(said, /rubbish harms nobody\n$/)
  })
})
