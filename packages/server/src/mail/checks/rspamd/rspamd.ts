// rspamd: asks its /checkv2 (https://rspamd.com/doc/architecture/protocol.html)

import * as v from 'valibot'
import { duration, size } from '../../../kernel/units.ts'
import { DnsError, Resolver } from '../../../net/dns/contracts.ts'
import { plainAddress } from '../../../net/addresses.ts'
import { accept, type Mail, mailCheck, type Verdict } from '../../pipeline/contracts.ts'
import { fetchText } from '../../../net/fetch-text.ts'
import { MailSettings } from '../../settings.ts'
import { action, carryOut, type Reply } from '../action.ts'
import { reverseNames } from '../reverse-name.ts'
import { envelopeEdit, headerEdit, parseAnswer, type RspamdAnswer, smtpMessage, symbolsTold } from './answer.ts'

/** Octets of an answer. */
const MAX_ANSWER = 1024 * 1024

const headerText = v.pipe(v.string(), v.regex(/^[ -~]*$/, 'expected printable ASCII'))

export const rspamd = mailCheck({
  name: 'rspamd',
  summary: 'Lets rspamd judge each mail.',
  config: v.strictObject({
    url: v.optional(
      v.pipe(v.string(), v.url(), v.regex(/^https?:/), v.description('where its normal worker (or proxy) listens')),
      'http://127.0.0.1:11333',
    ),
    password: v.optional(v.pipe(headerText, v.description('where it asks for one'))),
    'settings-id': v.optional(v.pipe(headerText, v.description('which of its settings to use'))),
    tag: v.optional(v.pipe(headerText, v.description('what its logs call us (MTA-Tag)')), 'aviso'),
    flags: v.optional(
      v.pipe(v.array(v.pipe(v.string(), v.regex(/^[a-z_]+$/))), v.description('flags of its protocol')),
      ['pass_all'],
    ),
    greylist: action('accept', 'rspamd would greylist'),
    'add-header': action('quarantine', 'rspamd thinks that it is probably spam'),
    'rewrite-subject': action('quarantine', 'rspamd wants the subject to say so'),
    'soft-reject': action('defer', 'rspamd wants it to come again later'),
    reject: action('reject', 'rspamd is sure that it is spam'),
    failure: action('defer', 'rspamd cannot be asked, or answers with an error'),
    'edit-header': v.optional(
      v.pipe(v.boolean(), v.description('fields that rspamd adds and removes, and a subject that it rewrites')),
      true,
    ),
    'edit-envelope': v.optional(v.pipe(v.boolean(), v.description('sender and recipients that rspamd changes')), false),
    'spam-headers': v.optional(
      v.pipe(v.boolean(), v.description('adds X-Spam-Score, and X-Spam-Flag to what is probably spam')),
      true,
    ),
    'max-size': v.pipe(size('25MiB'), v.description('mail larger than this is not shown to rspamd, and passes')),
    timeout: v.pipe(duration('20s'), v.minValue(1), v.description('how long an answer may take')),
  }),

  create(config, scope) {
    const { hostname } = scope.use(MailSettings)
    const resolver = scope.use(Resolver)
    const url = new URL('checkv2', config.url.endsWith('/') ? config.url : `${config.url}/`)

    const headersFor = async ({ id, client, reversePath, recipients }: Mail): Promise<Headers> => {
      const headers = new Headers({
        'Content-Type': 'application/octet-stream',
        'Queue-Id': id,
        Helo: headerSafe(client.hello),
        From: headerSafe(reversePath?.toString() ?? ''),
        'MTA-Tag': config.tag,
        'MTA-Name': hostname,
        ...(config.flags.length > 0 && { Flags: config.flags.join(',') }),
        ...(config.password !== undefined && { Password: config.password }),
        ...(config['settings-id'] !== undefined && { 'Settings-ID': config['settings-id'] }),
        ...(client.account !== undefined && { User: headerSafe(client.account.address) }),
        ...(client.tls !== undefined && { 'TLS-Cipher': client.tls.cipher, 'TLS-Version': client.tls.protocol }),
      })
      if (client.remoteAddress !== '') {
        headers.set('IP', plainAddress(client.remoteAddress))
        const name = await reverseNames(client, resolver).catch((error: unknown) => {
          if (error instanceof DnsError) return undefined
          throw error
        })
        headers.set('Hostname', headerSafe(name?.confirmed[0] ?? 'unknown'))
      }
      for (const { address } of recipients) headers.append('Rcpt', headerSafe(address.toString()))
      return headers
    }

    return {
      external: true,
      patience: config.timeout + 15_000,
      async content(mail, message): Promise<Verdict> {
        if (message.size > config['max-size']) return accept('too large to be looked at')
        const headers = await headersFor(mail)
        const bounds = { clock: scope.clock, timeout: config.timeout, most: MAX_ANSWER }
        let answer: RspamdAnswer
        try {
          const body = (await message.whole()) as Uint8Array<ArrayBuffer>
          answer = parseAnswer(await fetchText(url, { method: 'POST', headers, body }, bounds))
        } catch (error) {
          const why = error instanceof Error ? causes(error) : String(error)
          scope.log.error({ mail: mail.id, reason: why }, 'rspamd gives no answer')
          return carryOut(
            config.failure,
            {
              reject: [554, '5.7.1'],
              defer: [451, '4.7.1'],
              text: 'The mail cannot be checked now, please try again later',
            },
            `no answer from rspamd: ${why}`,
          )
        }
        const verdict = judge(config, answer)
        const rewrites = answer.action === 'rewrite subject'
        const edits = config['edit-header'] ? headerEdit(answer, message.header, rewrites) : {}
        const spam = ['add header', 'rewrite subject', 'reject'].includes(answer.action)
        const ours = config['spam-headers']
          ? [`X-Spam-Score: ${answer.score.toFixed(2)}`, ...(spam ? ['X-Spam-Flag: YES'] : [])]
          : []
        return {
          ...verdict,
          edit: {
            ...edits,
            prepend: [...ours, ...(edits.prepend ?? [])],
            // Who sends spam may have said the opposite.
            ...(ours.length > 0 && { remove: ['X-Spam-Score', 'X-Spam-Flag'] }),
          },
          ...(config['edit-envelope'] ? envelopeEdit(answer) : {}),
        }
      },
    }
  },
})

type Settings = Parameters<typeof judge>[0]

const SETTING = {
  greylist: 'greylist',
  'add header': 'add-header',
  'rewrite subject': 'rewrite-subject',
  'soft reject': 'soft-reject',
  reject: 'reject',
} as const

function judge(
  config: Readonly<Record<(typeof SETTING)[keyof typeof SETTING] | 'failure', Parameters<typeof carryOut>[0]>>,
  answer: RspamdAnswer,
): Verdict {
  const required = answer.required_score
  const why = `${answer.action}, score ${answer.score.toFixed(2)}${typeof required === 'number' ? ` of ${required}` : ''}: ${symbolsTold(answer)}`
  if (answer.action === 'no action') return accept(why)
  const setting: keyof Settings | undefined = Object.hasOwn(SETTING, answer.action)
    ? SETTING[answer.action as keyof typeof SETTING]
    : undefined
  const reply: Reply = {
    reject: [554, '5.7.1'],
    defer: [451, '4.7.1'],
    text: smtpMessage(answer) ?? (setting === 'reject' ? 'This mail looks like spam' : 'Please try again later'),
  }
  // An action of rspamd's own making, that nobody here knows.
  if (setting === undefined) return carryOut(config.failure, reply, `unknown action ${why}`)
  return carryOut(config[setting], reply, why)
}

/** RFC 9110 §5.5: what a header of HTTP can carry; UTF-8 goes octet by octet. */
const headerSafe = (text: string): string => Buffer.from(text.replace(/[\p{Cc}]/gu, '?'), 'utf8').toString('latin1')

/** fetch hides what went wrong in the cause. */
const causes = (error: Error): string =>
  error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
