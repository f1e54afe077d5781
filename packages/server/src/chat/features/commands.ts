// XEP-0050: Ad-Hoc Commands

import { type Element, el, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import { RecentMap } from '../../accounts/recent.ts'
import { randomWord } from '../../kernel/random.ts'
import { duration } from '../../kernel/units.ts'
import { type Command, type FormStage, mayRun, type Stage } from '../core/commands.ts'
import { chatFeature, type IqRequest } from '../core/contracts.ts'
import { FORMS, Submission } from '../core/forms.ts'

const COMMANDS = 'http://jabber.org/protocol/commands'

/** A command that waits for its next stage. */
interface Running {
  readonly node: string
  /** The full JID that runs it. */
  readonly owner: string
  readonly account: string
  /** The stages so far; the last one is being filled in. */
  readonly stages: FormStage[]
  expires: number
}

export const commands = chatFeature({
  name: 'commands',
  summary: 'Lets clients run commands of the server, with forms.',
  config: v.strictObject({
    lifetime: v.pipe(duration('15m'), v.description('how long a form may stay open')),
    'max-open': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('how many commands may wait for their next form')),
      1000,
    ),
    'max-open-per-account': v.optional(
      v.pipe(v.number(), v.integer(), v.minValue(1), v.description('the same for one account; its oldest gives way')),
      10,
    ),
  }),

  attach(host, config, { clock, random }) {
    const open = new RecentMap<string, Running>(config['max-open'])
    /** The ids of the commands of an account, oldest first. */
    const ofAccount = new RecentMap<string, readonly string[]>(config['max-open'])

    host.disco.feature(COMMANDS)

    /** Who asks, with the role that he has now. */
    const asker = async (iq: IqRequest): Promise<Account> => {
      const id = iq.origin.session?.account.account.id
      const account = id === undefined ? undefined : await host.accounts.byId(id)
      if (account === undefined || account.disabled) throw StanzaError.of('forbidden')
      return account
    }
    const allowed = (account: Account, command: Command | undefined): Command => {
      if (command === undefined) throw StanzaError.of('item-not-found')
      if (!mayRun(host.accounts, account, command)) throw StanzaError.of('forbidden')
      return command
    }

    host.disco.node(COMMANDS, {
      info: () => ({ identities: [{ category: 'automation', type: 'command-list' }], features: [] }),
      items: async (iq) => {
        const account = await asker(iq)
        return [...host.commands(iq.to.domain).values()]
          .filter((command) => mayRun(host.accounts, account, command))
          .map(({ node, name }) => ({ jid: iq.to.domain, node, name }))
      },
    })
    host.disco.otherNodes((node, domain) => {
      const command = host.commands(domain).get(node)
      return (
        command && {
          info: async (iq) => {
            allowed(await asker(iq), command)
            const identity = { category: 'automation', type: 'command-node', name: command.name }
            return { identities: [identity], features: [COMMANDS, FORMS] }
          },
          items: () => [],
        }
      )
    })

    host.iq.set(COMMANDS, 'command', ['host'], async (iq) => {
      const account = await asker(iq)
      const { payload } = iq
      const node = payload.get('node') ?? ''
      const command = allowed(account, host.commands(iq.to.domain).get(node))
      const action = payload.get('action') ?? 'execute'
      if (!ACTIONS.has(action)) throw refuse('bad-request', 'malformed-action')
      const sessionId = payload.get('sessionid')

      if (sessionId === undefined) {
        if (action !== 'execute') throw refuse('bad-request', 'bad-action')
        const stage = await command.run({ account, from: iq.from, domain: iq.to.domain })
        const id = randomWord(random, 20)
        if ('done' in stage) return iq.result(response(node, id, stage, 1))
        begin(id, { node, owner: iq.from.toString(), account: account.id, stages: [stage], expires: expiry() })
        return iq.result(response(node, id, stage, 1))
      }

      const running = open.get(sessionId)
      // Whose it is, is nobody else's business.
      if (running === undefined || running.owner !== iq.from.toString() || running.node !== node)
        throw refuse('bad-request', 'bad-sessionid')
      if (running.expires < clock.now()) {
        end(sessionId, running)
        throw refuse('not-allowed', 'session-expired')
      }
      const { stages } = running
      const current = stages.at(-1)
      if (current === undefined) throw refuse('bad-request', 'bad-sessionid')
      if (action === 'cancel') {
        end(sessionId, running)
        return iq.result(el('command', { xmlns: COMMANDS, node, sessionid: sessionId, status: 'canceled' }))
      }
      if (action === 'prev') {
        const before = stages.at(-2)
        if (before === undefined) throw refuse('bad-request', 'bad-action')
        stages.pop()
        running.expires = expiry()
        return iq.result(response(node, sessionId, before, stages.length))
      }
      if (action === 'next' && current.more !== true) throw refuse('bad-request', 'bad-action')
      const filled = Submission.of(payload)
      if (filled === undefined) throw refuse('bad-request', 'bad-payload')
      const stage = await current.next(filled)
      if ('done' in stage) end(sessionId, running)
      else {
        if (stages.length >= MAX_STAGES) throw StanzaError.of('resource-constraint', 'this goes on for too long')
        stages.push(stage)
        running.expires = expiry()
      }
      return iq.result(response(node, sessionId, stage, stages.length))
    })

    const expiry = (): number => clock.now() + config.lifetime
    const begin = (id: string, running: Running): void => {
      const mine = (ofAccount.get(running.account) ?? []).filter((other) => open.peek(other) !== undefined)
      while (mine.length >= config['max-open-per-account']) open.delete(mine.shift() ?? '')
      open.set(id, running)
      ofAccount.set(running.account, [...mine, id])
    }
    const end = (id: string, { account }: Running): void => {
      open.delete(id)
      ofAccount.set(
        account,
        (ofAccount.get(account) ?? []).filter((other) => other !== id),
      )
    }
  },
})

const ACTIONS: ReadonlySet<string> = new Set(['execute', 'next', 'complete', 'prev', 'cancel'])
const MAX_STAGES = 20

const refuse = (
  condition: 'bad-request' | 'not-allowed',
  app: 'malformed-action' | 'bad-action' | 'bad-sessionid' | 'session-expired' | 'bad-payload',
): StanzaError => StanzaError.of(condition, '', { app: el(app, { xmlns: COMMANDS }) })

function response(node: string, sessionid: string, stage: Stage, depth: number): Element {
  if ('done' in stage)
    return el(
      'command',
      { xmlns: COMMANDS, node, sessionid, status: 'completed' },
      stage.form,
      stage.note !== undefined && el('note', { type: 'info' }, stage.note),
      stage.warning !== undefined && el('note', { type: 'warn' }, stage.warning),
    )
  const forward = stage.more === true ? 'next' : 'complete'
  return el(
    'command',
    { xmlns: COMMANDS, node, sessionid, status: 'executing' },
    el('actions', { execute: forward }, depth > 1 && el('prev'), el(forward)),
    stage.form,
  )
}
