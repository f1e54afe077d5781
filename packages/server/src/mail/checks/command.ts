// A check that is a program of the administrator's

import { Headers } from '@aviso/mime'
import * as v from 'valibot'
import { randomWord } from '../../kernel/random.ts'
import { duration } from '../../kernel/units.ts'
import { DnsError, Resolver } from '../../net/dns/contracts.ts'
import {
  accept,
  finding,
  type Mail,
  mailCheck,
  type Message,
  type Recipient,
  reject,
  type Verdict,
} from '../pipeline/contracts.ts'
import {
  asEnvironment,
  checkPlaceholders,
  fillArguments,
  mailValues,
  ProgramError,
  programSettings,
  runProgram,
} from '../programs/run.ts'
import { action, type Action, carryOut, type Reply } from './action.ts'
import { reverseNames } from './reverse-name.ts'

const PLACEHOLDERS = ['ip', 'hello', 'name', 'mail', 'session', 'account', 'sender', 'recipients', 'recipient'] as const

export const command = mailCheck({
  name: 'command',
  summary:
    'Runs a program on each mail: the message is its standard input, header fields that it prints are added, its exit status is the verdict.',
  config: v.strictObject({
    command: programSettings.command,
    arguments: programSettings.arguments(PLACEHOLDERS.map((one) => `{${one}}`).join(', ')),
    stage: v.optional(
      v.pipe(
        v.picklist(['connection', 'sender', 'recipient', 'content']),
        v.description(
          'when it runs: before the first MAIL of a session, at MAIL, at each RCPT, or with the whole message (else its standard input is empty)',
        ),
      ),
      'content',
    ),
    'exit-codes': v.optional(
      v.pipe(
        v.record(
          v.pipe(v.string(), v.regex(/^(?:[1-9]\d{0,2})$/, 'expected an exit status from 1 to 255')),
          action('reject', 'this exit status'),
        ),
        v.description('what an exit status means; 0 accepts, what is not listed here is a failure'),
      ),
      { 1: 'reject', 2: 'quarantine' },
    ),
    failure: action('defer', 'the program cannot be run, takes too long, or ends in another way'),
    timeout: v.pipe(duration('20s'), v.minValue(1), v.description('how long it may run before it is ended')),
  }),

  create(config, scope) {
    checkPlaceholders(config.arguments, PLACEHOLDERS)
    const resolver = scope.use(Resolver)
    const codes = new Map<number, Action>(
      Object.entries(config['exit-codes']).map(([code, chosen]) => [Number(code), chosen]),
    )
    const wantsName = config.arguments.some((arg) => arg.includes('{name}'))

    /** The verdict on a session's client, for all its mails. */
    const session = finding<Verdict>(`command:${randomWord(scope.random, 12)}`)

    const ask = async (mail: About, message?: Message, recipient?: Recipient): Promise<Verdict> => {
      const values = mailValues(mail, {
        recipient: recipient?.address.toString() ?? '',
        name: wantsName && mail.client.remoteAddress !== '' ? await nameOf(mail) : '',
      })
      const args = fillArguments(config.arguments, values)
      if (args === undefined) return reject(553, '5.1.7', 'An address that begins with a hyphen cannot be checked here')
      try {
        const { status, output, error } = await runProgram(
          {
            command: config.command,
            args,
            message,
            timeout: config.timeout,
            environment: asEnvironment(values),
            signal: scope.signal,
          },
          scope.clock,
        )
        if (error !== '') scope.log.warn({ mail: mail.id, status, said: error }, 'the program of a check complains')
        const chosen = status === 0 ? undefined : codes.get(status)
        if (status !== 0 && chosen === undefined) throw new ProgramError(`${config.command} ended with ${status}`)
        const edit = { prepend: fieldsOf(output) }
        if (chosen === undefined) return { ...accept(), edit }
        return { ...carryOut(chosen, REFUSED, `exit status ${status}`), edit }
      } catch (failure) {
        if (!(failure instanceof ProgramError)) throw failure
        scope.log.error({ err: failure, mail: mail.id }, 'the program of a check failed')
        return carryOut(config.failure, FAILED, failure.message)
      }
    }

    const nameOf = async ({ client }: About): Promise<string> => {
      try {
        return (await reverseNames(client, resolver)).confirmed[0] ?? ''
      } catch (error) {
        if (error instanceof DnsError) return ''
        throw error
      }
    }

    return {
      external: true,
      // The program has its own time.
      patience: config.timeout + 10_000,
      ...(config.stage === 'connection' && {
        sender: ({ client, simulated }: Mail) =>
          client.once(session, () => ask({ id: '', client, reversePath: null, recipients: [], simulated })),
      }),
      ...(config.stage === 'sender' && { sender: (mail: Mail) => ask(mail) }),
      ...(config.stage === 'recipient' && { recipient: (mail: Mail, to: Recipient) => ask(mail, undefined, to) }),
      ...(config.stage === 'content' && { content: (mail: Mail, message: Message) => ask(mail, message) }),
    }
  },
})

/** What a program may be told of: a mail, or a client before it has sent one. */
type About = Pick<Mail, 'id' | 'client' | 'reversePath' | 'recipients' | 'simulated'>

const REFUSED: Reply = {
  reject: [550, '5.7.1'],
  defer: [451, '4.7.1'],
  text: 'The mail was refused by a check of this server',
}
const FAILED: Reply = {
  ...REFUSED,
  defer: [451, '4.3.0'],
  text: 'The mail cannot be checked now, please try again later',
}

/** The header fields that a program printed, in its order. Throws ProgramError for output that is something else. */
function fieldsOf(output: string): readonly string[] {
  const text = output.replace(/\r?\n/g, '\r\n').replace(/(?:\r\n)+$/, '')
  if (text === '') return []
  const bytes = Buffer.from(`${text}\r\n`)
  const fields = [...Headers.parse(bytes).fields()]
  const end = fields.at(-1)?.end ?? 0
  if (end !== bytes.byteLength || fields.some(({ name }) => !/^[!-9;-~]+$/.test(name)) || /\0|\r(?!\n)/.test(text))
    throw new ProgramError('the program printed something that is no header')
  return fields.map(({ start, end: stop }) => bytes.toString('utf8', start, stop - 2))
}
