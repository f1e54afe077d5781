// What is believed of the certificates of clients, as time goes by.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as v from 'valibot'
import { ClientCertificates, certificatesConfig } from '../../src/accounts/certificates.ts'
import { HandClock } from '../../src/kernel/clock.ts'
import { recordingLog } from '../../src/kernel/log.ts'
import { certify, revocationList } from '../fixtures/certificates.ts'
import { testScope } from '../fixtures/scope.ts'

const HOUR = 3_600_000
const AUTHORITY = certify({ names: ['authority'], authority: true })
const lost = certify({ names: ['anna'], issuer: AUTHORITY })

test('revocation lists are read again every hour; what cannot be read leaves those that there are', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'aviso-crl-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const files = { authorities: join(folder, 'ca.pem'), 'revocation-lists': join(folder, 'crl.pem') }
  writeFileSync(files.authorities, AUTHORITY.certificate.toString())
  const none = revocationList(AUTHORITY, [])
  const one = revocationList(AUTHORITY, [lost])
  writeFileSync(files['revocation-lists'], none)
  const clock = new HandClock()
  const { log, lines } = recordingLog('info')
  const scope = testScope({ clock, log })
  t.after(() => scope.close())
  const certificates = new ClientCertificates(scope, v.parse(certificatesConfig, files))
  const terms = certificates.terms('c2s')
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise((resolve) => setImmediate(resolve))
  }
  assert.deepEqual(terms?.crl, [none.trim()])
  writeFileSync(files['revocation-lists'], `${one}${none}`)
  assert.deepEqual(terms?.crl, [none.trim()])
  clock.turn(HOUR)
  await until(() => terms?.crl?.length === 2)
  assert.deepEqual(terms?.crl, [one.trim(), none.trim()])
  for (const broken of ['', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n']) {
    const before = lines.length
    writeFileSync(files['revocation-lists'], broken)
    clock.turn(HOUR)
    await until(() => lines.length > before)
    assert.equal(lines.at(-1)?.['msg'], 'revocation lists could not be read again: those in use stay')
    assert.equal(terms?.crl?.length, 2)
  }
})

test('lists without authorities are a mistake', () => {
  assert.throws(() => v.parse(certificatesConfig, { 'revocation-lists': 'crl.pem' }), /without authorities/)
})
