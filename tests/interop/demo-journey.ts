// A demo server for the tests of a suite.

import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { type Demo, type DemoJourney, startDemo } from './server.ts'

/** The server is there from the suite's first test on, and must have ended well after the last; what the suite itself sets up or takes down goes in the order of the calls. */
export function demoJourney(): Pick<DemoJourney, 'demo' | 'folder'> {
  let journey: DemoJourney | undefined
  const started = (): DemoJourney => {
    if (journey === undefined) throw new Error('the suite has not begun')
    return journey
  }
  before(async () => void (journey = await startDemo()))
  after(async () => assert.equal(await started().stop(), 0))
  return {
    get demo(): Demo {
      return started().demo
    },
    get folder(): string {
      return started().folder
    },
  }
}
