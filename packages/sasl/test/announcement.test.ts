// XEP-0474: a list of mechanisms that was changed on its way is seen.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Announcement,
  announcementHash,
  clientMechanism,
  type MechanismName,
  SaslFailure,
  serverMechanism,
} from '../src/index.ts'
import { memoryCredentials } from '../src/testing/index.ts'

const SHOWN: Announcement = {
  mechanisms: ['SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1'],
  bindings: ['tls-server-end-point', 'tls-exporter'],
}

/** Runs an exchange of a client that saw `seen`. */
async function login(name: MechanismName, announced: Announcement | undefined, seen: Announcement | undefined) {
  const server = serverMechanism(name, {
    offered: [name],
    credentials: memoryCredentials({ user: 'pencil' }),
    secret: Buffer.alloc(32, 7),
    announced,
  })
  const client = clientMechanism([name], { authcid: 'user', password: 'pencil', secure: true, announced: seen })
  assert.ok(server && client)
  let step = await server.start(await client.start())
  while (step.kind === 'challenge') step = await server.next(await client.next(step.data))
  assert.equal(step.kind, 'success')
  if (step.kind === 'success') await client.success(step.data)
}

test('the example of the XEP', () => {
  assert.equal(announcementHash('SHA-1', SHOWN), 'G6k/rBLDqgOhRRaCuuatSDFkJ08=')
  assert.notEqual(announcementHash('SHA-1', { ...SHOWN, bindings: undefined }), 'G6k/rBLDqgOhRRaCuuatSDFkJ08=')
})

for (const name of ['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
  test(`${name}: who saw what was shown logs in, and so does who cannot compare`, async () => {
    await login(name, SHOWN, { mechanisms: SHOWN.mechanisms.toReversed(), bindings: SHOWN.bindings })
    await login(name, SHOWN, undefined)
    await login(name, undefined, SHOWN)
  })

  test(`${name}: who was shown less does not go on`, async () => {
    const less: readonly Announcement[] = [
      { ...SHOWN, mechanisms: ['SCRAM-SHA-1'] },
      { ...SHOWN, bindings: ['tls-server-end-point'] },
      { ...SHOWN, bindings: undefined },
    ]
    for (const seen of less) {
      await assert.rejects(
        login(name, SHOWN, seen),
        (error) => error instanceof SaslFailure && /changed/.test(error.message),
      )
    }
  })
}
