// Python's smtplib and imaplib: sending, reading, filing, IDLE.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { needs, succeed } from './programs.ts'
import { demoJourney } from './demo-journey.ts'

const SCRIPT = fileURLToPath(new URL('clients/mail.py', import.meta.url))

describe('Python', () => {
  const journey = demoJourney()

  test('smtplib and imaplib', { skip: needs('python3') }, async () => {
    const said = await succeed('python3', [SCRIPT, JSON.stringify(journey.demo.reach)])
    assert.match(said, /rubbish harms nobody\n$/)
  })
})
