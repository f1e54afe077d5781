// Runs the stories of a script against a server, octet by octet.

import type { Duplex } from 'node:stream'
import { NotHeard, ScriptConnection } from './connection.ts'
import { fill, match, readExpected, type Variables } from './match.ts'
import type { ScriptFile, ScriptStep, ScriptStory } from './script.ts'
import { Mismatch, readAnswer, Talk } from './talk.ts'

/** A server with one account, whose mail is empty. */
export interface ScriptServer {
  /** One more connection, before its greeting. */
  connect(): Promise<Duplex>
  /** For LOGIN, where the greeting is not PREAUTH. */
  readonly user: string
  readonly password: string
}

/** How stories are run. */
export interface ScriptRunOptions {
  /** Milliseconds that are waited for any one answer. Default 5 s. */
  readonly patience?: number
}

/** The server answered otherwise than a script expects. The message begins with file and line and ends with what was said. */
export class ScriptFault extends Error {}

/** Runs one story. Resolves with the capabilities that it needs and the server lacks (then nothing was run), else with none. Rejects with ScriptFault. */
export async function runStory(
  file: ScriptFile,
  story: ScriptStory,
  server: ScriptServer,
  options: ScriptRunOptions = {},
): Promise<string[]> {
  return new Run(file, story, server, options.patience ?? 5000).run()
}

class Run {
  readonly #file: ScriptFile
  readonly #story: ScriptStory
  readonly #server: ScriptServer
  readonly #patience: number
  readonly #talks = new Map<number, Talk>()
  readonly #said: string[] = []
  #bound: Variables
  #tags = 0
  #capabilities = new Set<string>()

  constructor(file: ScriptFile, story: ScriptStory, server: ScriptServer, patience: number) {
    this.#file = file
    this.#story = story
    this.#server = server
    this.#patience = patience
    this.#bound = new Map([
      ['user', server.user],
      ['password', server.password],
      // The initial response of SASL PLAIN (RFC 4616).
      ['plain', Buffer.from(`\0${server.user}\0${server.password}`, 'utf8').toString('base64')],
    ])
  }

  async run(): Promise<string[]> {
    let line = this.#story.line
    try {
      const lacking = await this.#give()
      if (lacking.length > 0) return lacking
      for (let session = 1; session <= this.#story.sessions; session++) await this.#begin(session)
      for (const [index, step] of this.#story.steps.entries()) {
        line = step.line
        await this.#step(step, this.#story.steps[index + 1])
      }
      for (const { waiting, expectations } of this.#talks.values())
        if (waiting.length > 0 || expectations.length > 0) throw new Mismatch(0, 'the story ends before its answer')
      return []
    } catch (error) {
      if (!(error instanceof Mismatch || error instanceof NotHeard))
        throw new Error(`${this.#file.name}:${line}`, { cause: error })
      for (const [session, { came, connection }] of this.#talks)
        for (const answer of [...came.map((one) => `* ${one}`), ...connection.heard]) this.#say(`${session} <`, answer)
      const at = error instanceof Mismatch && error.line > 0 ? error.line : line
      throw new ScriptFault(
        `${this.#file.name}:${at}: ${this.#story.title}: ${error.message}\n${this.#said.slice(-40).join('\n')}`,
      )
    } finally {
      await Promise.all([...this.#talks.values()].map(({ connection }) => connection.close()))
    }
  }

  /** Puts the given mail there, on a connection of its own. Answers the capabilities that the story needs and are lacking. */
  async #give(): Promise<string[]> {
    const talk = await this.#open(0)
    await this.#login(talk)
    const lacking = this.#story.needs.filter((name) => !this.#capabilities.has(name.toUpperCase()))
    if (lacking.length === 0)
      for (const { mailbox, messages } of this.#story.given) {
        if (mailbox.toUpperCase() !== 'INBOX') await this.#ask(talk, `CREATE ${mailbox}`, ['OK', 'NO'])
        for (const { name, flags } of messages) await this.#ask(talk, `APPEND ${mailbox} (${flags}) {{${name}}}`)
      }
    await talk.connection.close()
    this.#talks.delete(0)
    if (lacking.length === 0) this.#said.length = 0
    return lacking
  }

  async #open(session: number): Promise<Talk> {
    const talk = new Talk(new ScriptConnection(await this.#server.connect(), this.#patience))
    this.#talks.set(session, talk)
    return talk
  }

  async #begin(session: number): Promise<void> {
    const talk = await this.#open(session)
    const { start } = this.#story
    if (start === 'greeting') return
    await this.#login(talk)
    if (start !== 'login') await this.#ask(talk, start)
  }

  async #login(talk: Talk): Promise<void> {
    const [greeting = ''] = await talk.connection.until('a greeting', (heard) => (heard.length > 0 ? 1 : undefined))
    if (!/^\* PREAUTH/i.test(greeting)) await this.#ask(talk, 'LOGIN "$user" "$password"')
    const answers = await this.#ask(talk, 'CAPABILITY')
    for (const answer of answers)
      if (/^\* CAPABILITY /i.test(answer)) this.#capabilities = new Set(answer.toUpperCase().split(' '))
    talk.literalPlus = this.#capabilities.has('LITERAL+')
  }

  /** A command that the runner itself needs answered. */
  async #ask(talk: Talk, command: string, statuses: readonly string[] = ['OK']): Promise<string[]> {
    const tag = await this.#send(talk, command)
    const heard = await talk.connection.until(`the answer to ${command}`, (all) => upTo(all, tag))
    talk.waiting.pop()
    const last = heard.at(-1) ?? ''
    if (!statuses.includes(last.split(' ')[1] ?? '')) throw new Mismatch(0, `${command} was answered: ${last}`)
    return heard
  }

  /** Sends a command; with literals that the server must agree to, one after the other. Answers its tag. */
  async #send(talk: Talk, command: string): Promise<string> {
    const tag = `t${++this.#tags}`
    talk.waiting.push(tag)
    const pieces = `${tag} ${fill(command, this.#bound)}`.split(/\{\{([^}]+)\}\}/)
    let octets = ''
    for (const [index, piece] of pieces.entries()) {
      if (index % 2 === 0) octets += piece
      else {
        const message = this.#message(piece)
        const binary = message.includes('\0') ? '~' : ''
        octets += `${binary}{${message.length}${talk.literalPlus ? '+' : ''}}\r\n`
        if (!talk.literalPlus) {
          talk.connection.send(octets)
          octets = ''
          await this.#continuation(talk)
        }
        octets += message
      }
    }
    this.#say(`${this.#number(talk)} >`, octets || command)
    talk.connection.send(`${octets}\r\n`)
    return tag
  }

  #message(name: string): string {
    const message = this.#file.messages.get(name)
    if (message === undefined) throw new Error(`no message ${name}`)
    return message
  }

  async #continuation(talk: Talk): Promise<void> {
    const heard = await talk.connection.until('a continuation request', (all) => {
      const at = all.findIndex((one) => one.startsWith('+'))
      return at < 0 ? undefined : at + 1
    })
    this.#hear(talk, heard)
  }

  async #step(step: ScriptStep, next: ScriptStep | undefined): Promise<void> {
    if (step.kind === 'check') {
      check(fill(step.text, this.#bound))
      return
    }
    const talk = this.#talks.get(step.session)
    if (talk === undefined) throw new Error(`no session ${step.session}`)
    switch (step.kind) {
      case 'command':
        // What follows with `>>` goes out in the same segment.
        if (next?.kind === 'command' && next.together) talk.connection.hold()
        await this.#send(talk, step.text)
        if (!(next?.kind === 'command' && next.together)) talk.connection.release()
        return
      case 'octets':
        this.#say(`${step.session} =`, step.text)
        talk.connection.send(
          fill(step.text, this.#bound, true).replaceAll(/\{\{([^}]+)\}\}/g, (_, name: string) => this.#message(name)),
        )
        return
      case 'answer':
        talk.expectations.push(step)
        return
      case 'others':
        talk.others = true
        return
      case 'order':
        talk.order = true
        return
      case 'continue':
        return this.#continuation(talk)
      case 'wait':
        return this.#wait(talk)
      case 'closed':
        return this.#closed(talk)
      case 'end':
        return this.#end(talk, step)
    }
  }

  async #wait(talk: Talk): Promise<void> {
    this.#bind('tag', talk.waiting[0] ?? '')
    const met = (heard: readonly string[]): number | undefined => {
      const all = [...talk.came, ...heard.filter((one) => one.startsWith('* ')).map((one) => one.slice(2))]
      return talk.meet(all, this.#file.messages, this.#bound).missing === undefined ? heard.length : undefined
    }
    this.#hear(talk, await talk.connection.until('the answers that are expected', met))
    this.#bound = talk.settleSome(this.#file.messages, this.#bound)
  }

  async #closed(talk: Talk): Promise<void> {
    this.#hear(
      talk,
      await talk.connection.until('the end of the connection', (all) =>
        talk.connection.ended ? all.length : undefined,
      ),
    )
    talk.waiting.length = 0
    this.#bound = talk.settle(this.#file.messages, this.#bound)
  }

  async #end(talk: Talk, step: ScriptStep & { readonly kind: 'end' }): Promise<void> {
    const tag = step.tag ?? talk.waiting.shift() ?? ''
    const heard = await talk.connection.until(`the answer to ${tag}`, (all) => upTo(all, tag))
    const last = heard.pop() ?? ''
    this.#hear(talk, heard)
    this.#say(`${step.session} <`, last)
    this.#bind('tag', tag)
    const answer = last.slice(tag.length + 1)
    if (!step.status.includes(answer.split(' ')[0]?.toUpperCase() ?? ''))
      throw new Mismatch(step.line, `expected ${step.status.join(' or ')} ${step.text}; came: ${last}`)
    this.#bound = talk.settle(this.#file.messages, this.#bound)
    if (step.text === '') return
    const status = answer.split(' ')[0] ?? ''
    const now = match(readExpected(`${status} ${step.text}`, this.#file.messages), readAnswer(answer), this.#bound)
    if (now === undefined) throw new Mismatch(step.line, `expected ${step.text}; came: ${last}`)
    this.#bound = now
  }

  #bind(name: string, value: string): void {
    this.#bound = new Map([...this.#bound, [name, value]])
  }

  #hear(talk: Talk, heard: readonly string[]): void {
    for (const one of heard) {
      this.#say(`${this.#number(talk)} <`, one)
      if (one.startsWith('* ')) talk.came.push(one.slice(2))
      else if (!one.startsWith('+')) throw new Mismatch(0, `was not expected: ${one}`)
    }
  }

  #number(talk: Talk): number {
    for (const [session, one] of this.#talks) if (one === talk) return session
    return 0
  }

  #say(who: string, text: string): void {
    const shown = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"')
    this.#said.push(`  ${who} ${shown.length > 600 ? `${shown.slice(0, 600)}...` : shown}`)
  }
}

/** How many responses there are up to the tagged one; undefined while it is not there. */
function upTo(heard: readonly string[], tag: string): number | undefined {
  const at = heard.findIndex((one) => one.startsWith(`${tag} `))
  return at < 0 ? undefined : at + 1
}

/** `5 > 4`. Throws Mismatch where it is not so. */
function check(text: string): void {
  const [, a = '', how = '', b = ''] = /^\(?(\d+)\)? ([<>]=?|!?=) \(?(\d+)\)?$/.exec(text) ?? []
  if (how === '') throw new Error(`not to be checked: ${text}`)
  const [one, other] = [BigInt(a), BigInt(b)]
  const right =
    how === '='
      ? one === other
      : how === '!='
        ? one !== other
        : how === '<'
          ? one < other
          : how === '>'
            ? one > other
            : how === '<='
              ? one <= other
              : one >= other
  if (!right) throw new Mismatch(0, `is not so: ${text}`)
}
