// One session of a story: what is expected of it until the next point where it waits, and what has come.

import type { ScriptConnection } from './connection.ts'
import { match, readExpected, type Variables } from './match.ts'
import { readValues, type Value } from './value.ts'

export interface Expectation {
  readonly line: number
  readonly text: string
  readonly when: 'must' | 'may' | 'never'
}

/** Something came that is not right, or did not come. `line` is the line of the script, or 0 for the one that waited. */
export class Mismatch extends Error {
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.line = line
  }
}

/** Answers that a server may give at any time, which no script has to name. */
const CHATTER = /^(?:OK|NO|FLAGS|\d+ RECENT)(?: |$)/i

export class Talk {
  readonly connection: ScriptConnection
  /** Tags of commands that have no answer yet, oldest first. */
  readonly waiting: string[] = []
  expectations: Expectation[] = []
  /** Answers other than those named are right too. */
  others = false
  /** Answers must come as they are named. */
  order = false
  /** Untagged responses since the last wait, without `* `. */
  came: string[] = []
  /** Non-synchronising literals are taken. */
  literalPlus = false

  constructor(connection: ScriptConnection) {
    this.connection = connection
  }

  /** The bindings that make all required answers be among `came`; else the first expectation that is not met. */
  meet(came: readonly string[], messages: ReadonlyMap<string, string>, bound: Variables): Met {
    const left = withFirstNumbers(came)
    let now = bound
    let from = 0
    for (const expectation of this.expectations) {
      if (expectation.when === 'never') continue
      const expected = readExpected(expectation.text, messages)
      let found: Variables | undefined
      const at = left.findIndex(
        (answer, i) => i >= from && (found = match(expected, readAnswer(answer), now)) !== undefined,
      )
      if (at < 0 || found === undefined) {
        if (expectation.when === 'may') continue
        return { missing: expectation, left, bound: now }
      }
      now = found
      if (this.order) from = at
      left.splice(at, 1)
    }
    return { missing: undefined, left, bound: now }
  }

  /** Ends the block of expectations: everything must be met, and nothing else have come. Throws Mismatch. */
  settle(messages: ReadonlyMap<string, string>, bound: Variables): Variables {
    const { missing, left, bound: now } = this.meet(this.came, messages, bound)
    if (missing) throw new Mismatch(missing.line, `did not come: * ${missing.text}`)
    for (const { line, text, when } of this.expectations) {
      if (when !== 'never') continue
      const expected = readExpected(text, messages)
      const wrong = withFirstNumbers(this.came).find((answer) => match(expected, readAnswer(answer), now))
      if (wrong !== undefined) throw new Mismatch(line, `must not come: * ${wrong}`)
    }
    const extra = this.others ? undefined : left.find((answer) => !CHATTER.test(answer))
    if (extra !== undefined) throw new Mismatch(0, `was not expected: * ${extra}`)
    this.came = []
    this.expectations = []
    this.others = this.order = false
    return now
  }

  /** Takes out of `came` what has been waited for. */
  settleSome(messages: ReadonlyMap<string, string>, bound: Variables): Variables {
    const { missing, left, bound: now } = this.meet(this.came, messages, bound)
    if (missing) throw new Mismatch(missing.line, `did not come: * ${missing.text}`)
    this.came = [...left]
    this.expectations = this.expectations.filter(({ when }) => when === 'never')
    return now
  }
}

export interface Met {
  readonly missing: Expectation | undefined
  readonly left: readonly string[]
  readonly bound: Variables
}

/** Values of an untagged response; of a status response its word and its code, for its text is for people. Throws where it is not grammatical. */
export function readAnswer(answer: string): Value[] {
  const status = /^(OK|NO|BAD|BYE|PREAUTH)(?: (\[(?:"(?:\\.|[^"\\])*"|[^\]"])*\]))?/i.exec(answer)
  if (!status) return readValues(answer)
  return readValues([status[1], status[2]].join(' '))
}

/** The responses, EXPUNGE with the numbers that the messages had before the first of them: servers may tell `2 EXPUNGE` twice, or 3 and then 2. */
function withFirstNumbers(came: readonly string[]): string[] {
  const gone: number[] = []
  return came.map((answer) => {
    const expunged = /^(\d+) EXPUNGE$/i.exec(answer)
    if (!expunged) return answer
    let number = Number(expunged[1])
    for (const before of gone) if (before <= number) number++
    gone.push(number)
    gone.sort((a, b) => a - b)
    return `${number} EXPUNGE`
  })
}
