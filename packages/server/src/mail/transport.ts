// What an administrator asks of the ways that mail takes: what became of a mail, and what would become of one.

import { parseMailAddress } from '@aviso/mime'
import { defaultLimits, type MailParameters, SmtpError } from '@aviso/smtp'
import { isIP } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import type { Account, Accounts } from '../accounts/contracts.ts'
import { randomWord } from '../kernel/random.ts'
import type { Scope } from '../kernel/scope.ts'
import { MailAdminError } from './administration.ts'
import { ownCopy } from './mailboxes/own-copy.ts'
import type { Pipelines } from './mail.ts'
import type { Client } from './pipeline/contracts.ts'
import { Findings } from './pipeline/findings.ts'
import { Message } from './pipeline/message.ts'
import type { Passage } from './pipeline/passage.ts'
import type { Story } from './pipeline/stories.ts'
import type { Step } from './pipeline/trace.ts'
import { MailSettings } from './settings.ts'
import type { Stories } from './stories/stories.ts'

/** A mail that nobody sends. */
export interface Supposed {
  /** '' for `<>`. */
  readonly from: string
  readonly to: readonly string[]
  /** Who would connect; default 192.0.2.1, an address that belongs to nobody. */
  readonly ip?: string
  /** The name in EHLO; default the sender's domain. */
  readonly hello?: string
  /** The account that would be logged in. */
  readonly as?: string
  readonly message?: Uint8Array
  /** Programs outside of the server (rspamd, milters, ClamAV, commands) are asked too. They may remember the mail. */
  readonly external?: boolean
}

/** What would happen. */
export interface Supposition {
  readonly pipeline: string
  /** Recipients that would be accepted. */
  readonly accepted: readonly string[]
  /** What the client would be told at the end; undefined: the mail would be taken. */
  readonly refusal: { readonly code: number; readonly enhanced: string; readonly text: string } | undefined
  readonly steps: readonly Step[]
}

/** A mail that a program on this machine hands in. */
export interface Submission {
  /** '' for `<>`. */
  readonly from: string
  readonly to: readonly string[]
  readonly message: Uint8Array
}

export interface TransportAdmin {
  /** The domain that completes names without one. */
  origin(): string
  /** Sends a mail through the pipeline `local`. Resolves when it is safe for all recipients, with its id. Throws `MailAdminError` 'invalid' when it is refused, 'unavailable' when it is to be tried later. */
  send(mail: Submission): Promise<{ readonly id: string }>
  /** The story of the mail of that id, or the newest ones from or to an address. Throws `MailAdminError` 'not-found'. */
  explain(idOrAddress: string, limit: number): Promise<readonly Story[]>
  /** Asks all checks and rules what they would do; nothing is delivered or remembered here. Throws `MailAdminError` 'invalid' for what cannot be a mail. */
  simulate(mail: Supposed): Promise<Supposition>
}

/** What the door leads to: the newest generation's rooms. */
export interface TransportRooms {
  readonly scope: Scope
  readonly accounts: Accounts
  readonly pipelines: Pipelines
  readonly stories: Stories
}

export function createTransportAdmin(rooms: () => TransportRooms): TransportAdmin {
  return {
    origin: () => {
      const { accounts, scope } = rooms()
      return accounts.domains()[0] ?? scope.use(MailSettings).hostname
    },

    async send({ from, to, message }) {
      const { pipelines, scope } = rooms()
      const { hostname, maxMessageSize } = scope.use(MailSettings)
      const client = clientOf(scope, 'local', '', hostname, undefined)
      try {
        const text = await asTaken(message, maxMessageSize)
        const passage = await pipelines.local.begin(client, from === '' ? null : addressOf(from), LOCAL_PARAMETERS)
        try {
          for (const one of to) await passage.recipient(addressOf(one), {})
        } catch (error) {
          passage.abort()
          throw error
        }
        await passage.data(text)
        return { id: passage.id }
      } catch (error) {
        if (!(error instanceof SmtpError)) throw error
        const text = `${error.code} ${error.enhanced ?? ''} ${error.message}`
        throw new MailAdminError(error.temporary ? 'unavailable' : 'invalid', text, { cause: error })
      }
    },

    async explain(idOrAddress, limit) {
      const { stories } = rooms()
      const found = idOrAddress.includes('@')
        ? await stories.byAddress(idOrAddress, limit)
        : [await stories.byId(idOrAddress)].filter((story) => story !== undefined)
      if (found.length === 0)
        throw new MailAdminError(
          'not-found',
          `nothing is known of ${idOrAddress}: no such mail came in the time that is remembered (mail.stories)`,
        )
      return found
    },

    async simulate(mail) {
      const { pipelines, accounts, scope } = rooms()
      const { pipeline, client } = await supposedClient(mail, pipelines, accounts, scope)
      const sender = mail.from === '' ? null : addressOf(mail.from)
      const passage: { current?: Passage } = {}
      try {
        // The passage is there before it begins: a refused sender has a story too.
        await pipeline.begin(client, sender, LOCAL_PARAMETERS, {
          simulated: true,
          external: mail.external === true,
          began: (one) => (passage.current = one),
        })
        let refused: SmtpError | undefined
        for (const to of mail.to)
          try {
            await passage.current?.recipient(addressOf(to), {})
          } catch (error) {
            if (!(error instanceof SmtpError)) throw error
            refused = error
          }
        if (passage.current === undefined || passage.current.recipients.length === 0) throw refused
        await passage.current.data(Message.of(mail.message ?? example(mail)))
        return {
          pipeline: pipeline.options.name,
          accepted: passage.current.recipients.map(({ address }) => address.toString()),
          refusal: undefined,
          steps: passage.current.steps,
        }
      } catch (error) {
        if (!(error instanceof SmtpError)) throw error
        passage.current?.abort()
        return {
          pipeline: pipeline.options.name,
          accepted: [],
          refusal: { code: error.code, enhanced: error.enhanced ?? '', text: error.message },
          steps: passage.current?.steps ?? [],
        }
      }
    },
  }
}

async function supposedClient(mail: Supposed, pipelines: Pipelines, accounts: Accounts, scope: Scope) {
  const ip = mail.ip ?? '192.0.2.1'
  if (isIP(ip) === 0) throw new MailAdminError('invalid', `'${ip}' is no IP address`)
  const account = mail.as === undefined ? undefined : await accounts.byAddress(mail.as)
  if (mail.as !== undefined && account === undefined)
    throw new MailAdminError('not-found', `there is no account ${mail.as} that can be used`)
  const hello = mail.hello ?? parseMailAddress(mail.from)?.domain ?? 'mail.example.net'
  const client = clientOf(scope, account === undefined ? 'smtp' : 'submission', ip, hello, account)
  return { pipeline: account === undefined ? pipelines.incoming : pipelines.outgoing, client }
}

function clientOf(
  scope: Scope,
  protocol: string,
  remoteAddress: string,
  hello: string,
  account: Account | undefined,
): Client {
  const session = randomWord(scope.random, 12)
  const findings = new Findings()
  return {
    session,
    log: scope.log.child({ session }),
    protocol,
    remoteAddress,
    hello,
    extended: true,
    tls: undefined,
    account,
    once: (finding, make) => findings.once(finding, make),
  }
}

/** Lines that are looked at in one go: a millisecond. */
const LINES = 8192

/** The message under the rules that hold for one that comes by SMTP, its line ends made CRLF. Throws `SmtpError`. */
async function asTaken(octets: Uint8Array, most: number): Promise<Message> {
  if (octets.byteLength > most) throw new SmtpError(552, '5.3.4', `Message exceeds the limit of ${most} octets`)
  const text = Buffer.from((await ownCopy(octets)).buffer)
  if (text.includes(0)) throw new SmtpError(550, '5.6.0', 'The message holds a NUL octet: encode it, as base64 does')
  const message = Message.of(text)
  const { headerSize, textLine } = defaultLimits
  if (message.head.byteLength > headerSize)
    throw new SmtpError(552, '5.3.4', `The header of the message exceeds the limit of ${headerSize} octets`)
  for (let start = 0, lines = 0; start < text.byteLength; lines++) {
    if (lines % LINES === LINES - 1) await turn()
    const end = text.indexOf('\r\n', start, 'latin1')
    const length = (end < 0 ? text.byteLength : end) - start
    if (length > textLine) throw new SmtpError(554, '5.6.0', `A line has more than ${textLine} octets`)
    start += length + 2
  }
  return message
}

const LOCAL_PARAMETERS: MailParameters = { body: '8BITMIME', smtpUtf8: true, requireTls: false }

function addressOf(text: string) {
  const address = parseMailAddress(text)
  if (address === undefined) throw new MailAdminError('invalid', `'${text}' is no mail address`)
  return address
}

/** What is looked at when the caller has no message. */
const example = ({ from, to }: Supposed): Uint8Array =>
  Buffer.from(
    `From: <${from === '' ? 'postmaster@example.net' : from}>\r\nTo: ${to.map((one) => `<${one}>`).join(', ')}\r\nSubject: Simulated\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <simulated@example.net>\r\n\r\nSimulated.\r\n`,
  )
