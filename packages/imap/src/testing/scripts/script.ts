// The format of scripts: stories of what clients send and what the server must answer.
//
//   message hello                        a message; `|` begins each line (CRLF is added), "..." adds octets with escapes, "..."*9 nine times
//   | Subject: Hello
//   |
//   | text
//
//   === COPY tells the new UIDs          a story, on an account of its own
//   needs UIDPLUS                        capabilities without which it is passed over
//   with octets 2000                     what the server must be set to: octets, messages (of the quota), watched, message-limit, literal-minus
//   unlike dovecot: why                  that server is known to answer otherwise (`at times ...`: now and then)
//   given INBOX hello*2 hello(\Seen)     messages that are there before, with flags
//   sessions 2                           connections, one by default
//   start login                          how they begin: greeting, login, select NAME, examine NAME (select INBOX by default)
//
//   > COPY 1 {{name}}                    a command of session 1 (`2> ...` of session 2), {{name}} a literal; $name a variable
//   >> NOOP                              the same, sent together with the command before
//   = "a NOOP\r\n"                       octets as they are; {{name}} the octets of a message
//   * 2 EXISTS                           an answer that must come; in any order, unless `in order` stands before
//   ? * 2 RECENT                         one that may come
//   ! * 1 EXPUNGE                        one that must not
//   ...                                  others may come too
//   +                                    waits for a continuation request
//   wait                                 waits until the answers above have come
//   OK [COPYUID $v 1 $new]               waits for the end of the (oldest) command: OK, NO, BAD, or NO|BAD
//   @a OK                                the same for a tag that `=` has sent
//   closed                               waits for the end of the connection
//   check $b > $a                        numbers: > < >= = !=
//
// EXPUNGE has the numbers that the messages had before the first of them since the last wait.
// In answers `$` is any value, `$name` is bound to the first value it meets, /x/ is a pattern, `...` in a list stands for anything else that is in it.

import { escapes } from './value.ts'

/** A script: its stories, which share a name and run each on an account of its own. */
export interface ScriptFile {
  /** For reports. */
  readonly name: string
  /** Octets by name, as latin1 text. */
  readonly messages: ReadonlyMap<string, string>
  readonly stories: readonly ScriptStory[]
}

/** One conversation with a server, from an empty account on. */
export interface ScriptStory {
  readonly title: string
  readonly line: number
  readonly needs: readonly string[]
  /** What the server is set to: name → value ('' where it is only on). */
  readonly settings: ReadonlyMap<string, string>
  /** Server → why it is known to answer otherwise. */
  readonly unlike: ReadonlyMap<string, string>
  readonly given: readonly GivenMail[]
  readonly sessions: number
  readonly start: string
  readonly steps: readonly ScriptStep[]
}

/** A message that the account has before the story begins. */
export interface GivenMail {
  readonly mailbox: string
  readonly messages: readonly { readonly name: string; readonly flags: string }[]
}

/** One line of a story, and the connection that it is about. */
export type ScriptStep = { readonly line: number; readonly session: number } & (
  | { readonly kind: 'command'; readonly text: string; readonly together: boolean }
  | { readonly kind: 'octets'; readonly text: string }
  | { readonly kind: 'answer'; readonly text: string; readonly when: 'must' | 'may' | 'never' }
  | { readonly kind: 'others' | 'order' | 'continue' | 'wait' | 'closed' }
  | {
      readonly kind: 'end'
      readonly tag: string | undefined
      readonly status: readonly string[]
      readonly text: string
    }
  | { readonly kind: 'check'; readonly text: string }
)

/** Reads a script. Throws with its name and line where it is not one. */
export function readScript(name: string, text: string): ScriptFile {
  const messages = new Map<string, string>()
  const stories: ScriptStory[] = []
  let message: string | undefined
  let story: OpenStory | undefined
  for (const [index, raw] of Buffer.from(text, 'utf8').toString('latin1').split('\n').entries()) {
    const line = index + 1
    const fail = (why: string): never => {
      throw new Error(`${name}:${line}: ${why}: ${raw}`)
    }
    if (message !== undefined && (raw.startsWith('|') || raw.startsWith('"'))) {
      const [, octets = '', times = '1'] = /^"(.*)"(?:\*(\d+))?$/.exec(raw) ?? []
      const piece = raw.startsWith('|')
        ? `${raw.slice(raw[1] === ' ' ? 2 : 1)}\r\n`
        : escapes(octets).repeat(Number(times))
      messages.set(message, (messages.get(message) ?? '') + piece)
      continue
    }
    const said = raw.trim()
    if (said === '' || said.startsWith('#')) continue
    const [word = '', rest = ''] = split(said)
    if (word === 'message' && story === undefined) {
      messages.set((message = rest), '')
    } else if (word === '===') {
      story = new OpenStory(rest, line)
      stories.push(story)
    } else if (story === undefined) fail('a line outside of a story')
    else if (!story.head(word, rest)) {
      const step = readStep(said, line, story.session) ?? fail('not a line of a script')
      story.session = step.session
      story.steps.push(step)
    }
  }
  return { name, messages, stories }
}

class OpenStory implements ScriptStory {
  readonly title: string
  readonly line: number
  readonly needs: string[] = []
  readonly settings = new Map<string, string>()
  readonly unlike = new Map<string, string>()
  readonly given: GivenMail[] = []
  readonly steps: ScriptStep[] = []
  sessions = 1
  start = 'select INBOX'
  /** The session that answers are expected of: the one that sent last. */
  session = 1

  constructor(title: string, line: number) {
    this.title = title
    this.line = line
  }

  /** Takes a line of the head; false where it is none. */
  head(word: string, rest: string): boolean {
    if (word === 'needs') this.needs.push(...rest.split(/ +/))
    else if (word === 'with') this.settings.set(...split(rest))
    else if (word === 'unlike')
      this.unlike.set(rest.slice(0, rest.indexOf(':')), rest.slice(rest.indexOf(':') + 1).trim())
    else if (word === 'given') this.given.push(readGiven(rest))
    else if (word === 'sessions') this.sessions = Number(rest)
    else if (word === 'start') this.start = rest
    else return false
    return true
  }
}

function readGiven(text: string): GivenMail {
  const [mailbox = '', rest = ''] = split(text)
  const messages = [...rest.matchAll(/([^ (*]+)(?:\*(\d+))?(?:\(([^)]*)\))?/g)].flatMap(
    ([, name = '', times = '1', flags = '']) => Array.from({ length: Number(times) }, () => ({ name, flags })),
  )
  return { mailbox, messages }
}

function readStep(said: string, line: number, current: number): ScriptStep | undefined {
  const sent = /^(\d*)(>>?|=)(?: (.*))?$/.exec(said)
  if (sent) {
    const [, number, how, text = ''] = sent
    const session = number === '' ? 1 : Number(number)
    return how === '='
      ? { line, session, kind: 'octets', text: escapes(text.slice(1, -1)) }
      : { line, session, kind: 'command', text, together: how === '>>' }
  }
  const turned = /^(\d+): (.*)$/.exec(said)
  const session = turned ? Number(turned[1]) : current
  const text = turned?.[2] ?? said
  const [word, rest] = split(text)
  if (word === '*') return { line, session, kind: 'answer', when: 'must', text: rest }
  if (word === '?' || word === '!')
    return { line, session, kind: 'answer', when: word === '?' ? 'may' : 'never', text: rest.replace(/^\* /, '') }
  if (text === '...') return { line, session, kind: 'others' }
  if (text === 'in order') return { line, session, kind: 'order' }
  if (text === '+') return { line, session, kind: 'continue' }
  if (text === 'wait' || text === 'closed') return { line, session, kind: text }
  if (word === 'check') return { line, session, kind: 'check', text: rest }
  const end = /^(?:@(\S+) )?((?:OK|NO|BAD)(?:\|(?:OK|NO|BAD))*)(?: (.*))?$/.exec(text)
  if (end) return { line, session, kind: 'end', tag: end[1], status: (end[2] ?? '').split('|'), text: end[3] ?? '' }
  return undefined
}

function split(text: string): [string, string] {
  const at = text.indexOf(' ')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1).trim()]
}
