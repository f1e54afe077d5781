// What clients send that no test can run: traces of them, played to the running server, and what they rely upon in its answers.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { readScripts, runStory } from '@aviso/imap/testing'
import { demoJourney } from './demo-journey.ts'

describe('traces', () => {
  const journey = demoJourney()

  for (const [index, file] of readScripts(fileURLToPath(new URL('traces', import.meta.url))).entries())
    for (const story of file.stories)
      test(`${file.name}: ${story.title}`, async () => {
        const { reach } = journey.demo
        const account = reach.accounts[index]
        assert.ok(account !== undefined, 'an account for each trace')
        const lacking = await runStory(file, story, {
          user: account.address,
          password: account.password,
          connect: async () => {
            const socket = connect({ host: reach.host, port: reach.ports.imaps, ca: readFileSync(reach.ca) })
            await once(socket, 'secureConnect')
            return socket
          },
        })
        assert.deepEqual(lacking, [])
      })
})
