// Search keys that look into a message, as a test of one message with as little of it as possible: first its header, then all of it.

import type { TextQuery } from '../backend.ts'
import { fold } from './fold.ts'
import { FuzzyText } from './fuzzy.ts'
import { bodyContains, type HeaderText } from './message-text.ts'
import type { SearchKey } from './keys.ts'

/** A message as far as it is known. `bytes` of one that is gone are empty. */
export interface Candidate {
  header: HeaderText | undefined
  bytes: Uint8Array | undefined
}

/** Undefined: cannot be told from what is known of the message. */
export type Test = (message: Candidate) => boolean | undefined

/** Undefined when the key is not about the content alone. */
export function contentTest(key: SearchKey): Test | undefined {
  switch (key.kind) {
    case 'not': {
      const test = contentTest(key.key)
      if (test === undefined) return undefined
      return (message) => {
        const result = test(message)
        return result === undefined ? undefined : !result
      }
    }
    case 'and':
    case 'or': {
      const tests: Test[] = []
      for (const one of key.keys) {
        const test = contentTest(one)
        if (test === undefined) return undefined
        tests.push(test)
      }
      return junction(tests, key.kind === 'or')
    }
    case 'header':
    case 'body':
    case 'text':
      return textTest(key)
    case 'fuzzy': {
      const text = new FuzzyText(key.query)
      return ({ header, bytes }) => {
        const byHeader = header && text.matchesHeader(header)
        if (byHeader !== undefined || bytes === undefined || header === undefined) return byHeader
        return text.score(header, bytes) > 0
      }
    }
    default:
      return undefined
  }
}

function textTest(query: TextQuery): Test {
  const needle = fold(query.text)
  switch (query.kind) {
    case 'header':
      return ({ header }) => header?.values(query.name).some((value) => value.includes(needle))
    case 'body':
      return ({ bytes }) => bytes && bodyContains(bytes, needle)
    case 'text':
      return ({ header, bytes }) => {
        if (header?.all.includes(needle) === true) return true
        return bytes && bodyContains(bytes, needle)
      }
  }
}

/** AND (`decisive` false) or OR (`decisive` true) that stops as soon as the answer is certain. */
function junction(tests: readonly Test[], decisive: boolean): Test {
  return (message) => {
    let unknown = false
    for (const test of tests) {
      const result = test(message)
      if (result === decisive) return decisive
      if (result === undefined) unknown = true
    }
    return unknown ? undefined : !decisive
  }
}
