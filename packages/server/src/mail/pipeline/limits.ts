// How much mail may come at once, in a time, and in octets: by all, by who sends it and from where

import { SmtpError } from '@aviso/smtp'
import type { InferOutput } from 'valibot'
import type { Scope } from '../../kernel/scope.ts'
import { addressGroup } from '../../net/addresses.ts'
import { type GateConfig, Gates, gatesConfig, type Pass, TooBusy } from '../../net/gates.ts'
import { networkOf } from '../../net/networks.ts'
import type { Mail } from './contracts.ts'

/** The setting `limits` of a pipeline. */
export const mailLimits = gatesConfig({
  all: 'all mail together',
  ip: 'mail from one IPv4 address, or one IPv6 /64',
  network: 'mail from one IPv4 /24, or one IPv6 /48',
  sender: 'mail of one sender, by the whole address; notifications have none',
  'sender-domain': 'mail of one sender domain; notifications have one of their own',
  'recipient-domain':
    'mail to one recipient domain; who comes too early is told so at RCPT, and the other recipients are not concerned',
  account: 'mail of one of our accounts, after a login',
})
export type MailLimitsConfig = InferOutput<typeof mailLimits>

export interface MailLimits {
  /** Takes a place for a mail, waiting for it a little. Throws SmtpError 451 4.4.5 when there is none. */
  enter(mail: Mail): Promise<Pass>
  /** The same for one domain of its recipients. */
  enterDomain(mail: Mail, domain: string): Promise<Pass>
}

const REAP_EVERY = 60_000

/** Undefined where nothing is limited. */
export function openLimits(scope: Scope, { wait, ...scopes }: MailLimitsConfig): MailLimits | undefined {
  const config = new Map<string, GateConfig>()
  for (const [name, gate] of Object.entries(scopes)) if (gate !== undefined) config.set(name, gate)
  if (config.size === 0) return undefined
  const gates = new Gates(scope.clock, config, wait)
  scope.interval(REAP_EVERY, () => gates.reap())
  const refused = scope.metrics.counter(
    'aviso_mail_limited_total',
    'Mails that were sent away by a limit, by its scope',
    ['scope'],
  )
  const enter = async (mail: Mail, keys: Iterable<Key>): Promise<Pass> => {
    try {
      return await gates.enter(keys, scope.signal)
    } catch (error) {
      if (!(error instanceof TooBusy)) throw error
      refused.inc({ scope: error.scope })
      mail.client.log.info({ mail: mail.id, limit: error.scope }, 'too much mail at once')
      throw new SmtpError(451, '4.4.5', 'Too much mail at once, please try again later', { cause: error })
    }
  }
  return {
    enter: (mail) => enter(mail, keysOf(mail)),
    enterDomain: (mail, domain) => enter(mail, [['recipient-domain', domain]]),
  }
}

type Key = readonly [scope: string, key: string]

function* keysOf({ client, reversePath }: Mail): Generator<Key> {
  yield ['all', '']
  if (client.remoteAddress !== '') {
    yield ['ip', addressGroup(client.remoteAddress)]
    yield ['network', networkOf(client.remoteAddress, 24, 48)]
  }
  if (reversePath !== null) yield ['sender', reversePath.toString()]
  yield ['sender-domain', reversePath?.domain ?? '']
  if (client.account !== undefined) yield ['account', client.account.id]
}
