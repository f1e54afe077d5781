// Milters: filters made for sendmail and Postfix (opendkim, opendmarc, amavis, spamass-milter ...), on a connection for each mail

import * as v from 'valibot'
import { duration } from '../../../kernel/units.ts'
import { DnsError, Resolver } from '../../../net/dns/contracts.ts'
import { accept, type Client, type Mail, mailCheck, type Verdict } from '../../pipeline/contracts.ts'
import { MailSettings } from '../../settings.ts'
import { action, carryOut } from '../action.ts'
import { reverseNames } from '../reverse-name.ts'
import { parseProgramAddress, programAddress, Wire, WireError } from '../wire.ts'
import { Conversation } from './conversation.ts'
import { MilterError } from './protocol.ts'

export const milter = mailCheck({
  name: 'milter',
  summary: 'Shows each mail to a milter, and does what that says: all actions of version 6 of its protocol.',
  config: v.strictObject({
    address: programAddress('where the milter listens: unix:/path, host:port or [address]:port'),
    failure: action('defer', 'the milter cannot be reached, takes too long, or breaks the protocol'),
    timeout: v.pipe(duration('30s'), v.minValue(1), v.description('how long the milter may take for one step')),
    'end-timeout': v.pipe(
      duration('5m'),
      v.minValue(1),
      v.description(
        'how long it may take for its answer to the end of the message, which is when most milters do their work',
      ),
    ),
  }),

  create(config, scope) {
    const address = parseProgramAddress(config.address)
    if (address === undefined) throw new Error(`'${config.address}' is no address`)
    const { hostname, maxMessageSize } = scope.use(MailSettings)
    const resolver = scope.use(Resolver)
    /** The conversation of each mail; undefined where the milter failed and the config lets the mail pass without it. */
    const conversations = new WeakMap<Mail, Conversation | undefined>()

    const nameOf = async (client: Client): Promise<string | undefined> => {
      if (client.remoteAddress === '') return undefined
      try {
        return (await reverseNames(client, resolver)).confirmed[0]
      } catch (error) {
        if (error instanceof DnsError) return undefined
        throw error
      }
    }

    /** What the milter says, or what the config wants when it fails. */
    const guarded = async (mail: Mail, ask: () => Promise<Verdict>): Promise<Verdict> => {
      try {
        return await ask()
      } catch (error) {
        if (!(error instanceof WireError) && !(error instanceof MilterError)) throw error
        conversations.get(mail)?.end()
        conversations.set(mail, undefined)
        scope.log.error({ mail: mail.id, reason: error.message }, 'a milter failed')
        return carryOut(
          config.failure,
          {
            reject: [554, '5.7.1'],
            defer: [451, '4.7.1'],
            text: 'The mail cannot be checked now, please try again later',
          },
          `the milter failed: ${error.message}`,
        )
      }
    }

    return {
      external: true,
      patience: config['end-timeout'] + 4 * config.timeout,
      sender: (mail) =>
        guarded(mail, async () => {
          const name = await nameOf(mail.client)
          const wire = await Wire.connect(address, scope.clock, config.timeout)
          try {
            const conversation = await Conversation.begin(wire, { hostname, maxBody: maxMessageSize }, mail)
            conversations.set(mail, conversation)
            return await conversation.sender(name)
          } catch (error) {
            wire.destroy()
            throw error
          }
        }),
      recipient: (mail, recipient) =>
        guarded(mail, async () => (await conversations.get(mail)?.recipient(recipient)) ?? accept()),
      content: (mail, message) =>
        guarded(mail, async () => {
          const conversation = conversations.get(mail)
          return conversation === undefined ? accept() : conversation.content(message, config['end-timeout'])
        }),
      end(mail) {
        conversations.get(mail)?.end()
        conversations.delete(mail)
      },
    }
  },
})
