// Rules of the administrator's: which stanzas go on, and which do not

import { el, type Element, Jid, NS, StanzaError } from '@aviso/xmpp'
import { GUEST } from '../../accounts/roles.ts'
import { createLimits } from '../../net/limits.ts'
import { chatFeature, type Entered, type Handled, type Host, type StanzaEvent } from '../core/contracts.ts'
import { rosterStore } from '../core/roster.store.ts'
import { serverOrigin } from '../core/server-voice.ts'
import { FROM, isSubscriptionType, LISTED, TO } from '../core/subscriptions.ts'
import { type Direction, type Soon, soon, type Subject, typeOf } from '../rules/conditions.ts'
import { type RulesConfig, rulesConfig } from '../rules/config.ts'
import { RuleDesk, type RuleTrier } from '../rules/desk.ts'
import { type Deeds, Rules, type Verdict } from '../rules/rules.ts'
import { reportsStore } from './reports.store.ts'

const HOUR = 3_600_000
/** Reports of rules push out those of users: no more of them than this are kept. */
const MAX_REPORTS = 1000

export const rules = chatFeature({
  name: 'rules',
  summary: 'Rules on stanzas: what may come from whom, what may go where.',
  config: rulesConfig,

  attach(host, config, scope) {
    if (config.rules.length === 0) return
    const { log, metrics } = scope
    const counted = metrics.counter('aviso_chat_rules', 'Stanzas that a rule was for, by what it did', [
      'rule',
      'action',
    ])
    const reported = createLimits(scope.clock, { report: { rate: 1, per: HOUR } })
    /** What the rules have seen already, or have made. */
    const seen = new WeakSet<Element>()

    const deeds: Deeds = {
      log: (rule, text, subject) => log.info({ rule, ...facts(subject) }, text),
      count: (rule, action) => counted.inc({ rule, action }),
      report(rule, reason, { from, to }) {
        if (!reported.take('report', `${rule} ${from.bareString}`)) return
        const report = {
          reporter: to.bareString,
          reported: from.bareString,
          reason: `urn:xmpp:reporting:${reason}`,
          text: `rule ${rule}`,
          messages: [],
          processing: [],
        }
        host.store
          .core(reportsStore)
          .add({ reports: [report], limit: MAX_REPORTS })
          .catch((error: unknown) => log.error({ err: error, rule }, 'a report was not kept'))
      },
      copy(to, { stanza, from, direction, to: recipient }) {
        const domain = direction === 'in' ? recipient.domain : from.domain
        const copy = el(
          'message',
          { from: domain, to, type: 'normal' },
          el(
            'forwarded',
            { xmlns: NS.forward },
            stanza.without(({ xmlns }) => xmlns === NS.stanzaId),
          ),
        )
        seen.add(copy)
        host
          .route(copy, serverOrigin(domain))
          .catch((error: unknown) => log.warn({ err: error, to }, 'the copy of a message was not delivered'))
      },
    }
    mustBeRoles(config, host)
    const engine = new Rules(config, { scope, rosterState: (subject) => rosterState(host, subject) }, deeds)

    const subjectOf = (stanza: Element, from: Jid, to: Jid, event?: StanzaEvent, dry = false): Subject => ({
      stanza,
      from,
      to,
      direction: directionOf(host, from, to),
      role: event?.origin.session?.account.account.role,
      marks: new Set(),
      dry,
    })
    /** What cannot be found out now is told as such: later, never through. */
    const later = (error: unknown): never => {
      if (error instanceof StanzaError) throw error
      log.error({ err: error }, 'the rules could not be asked')
      throw StanzaError.of('resource-constraint', 'try again later', { cause: error })
    }
    const judge = (subject: Subject): Soon<Verdict> => {
      let verdict
      try {
        verdict = engine.judge(subject)
      } catch (error) {
        return later(error)
      }
      return verdict instanceof Promise ? verdict.catch(later) : verdict
    }
    const obey = (verdict: Verdict, subject: Subject): Entered => {
      const { end, rule, stanza, error } = verdict
      if (end !== 'pass') log.info({ rule, action: end, ...facts(subject) }, 'a rule has decided')
      if (error !== undefined) throw error
      return end === 'drop' ? 'handled' : stanza
    }

    host.hooks.entering.on((event) => {
      const { stanza, origin } = event
      const { to } = event
      const subject = subjectOf(stanza, origin.jid, to, event)
      return soon(judge(subject), (verdict) => {
        const entered = obey(verdict, subject)
        if (entered === 'handled') return entered
        const goesOn = prepared(entered, to, verdict.end === 'redirect')
        seen.add(goesOn)
        return goesOn
      })
    })

    // What the server sends elsewhere in the name of its clients, such as their presence, has not come in as it goes out.
    host.hooks.remote.on((event): Handled | undefined => {
      const { stanza, origin, to } = event
      if (seen.has(stanza)) return undefined
      // Seen as the client sent it.
      if (origin.session !== undefined && stanza.name === 'presence' && isSubscriptionType(stanza.get('type')))
        return undefined
      const from = Jid.tryParse(stanza.get('from') ?? '') ?? origin.jid
      const subject = subjectOf(stanza, from, to, event)
      const entered = soon(judge(subject), (verdict) => obey(verdict, subject))
      if (entered === stanza) return undefined
      const goOn = (late: Entered): Handled => {
        if (late === 'handled') return late
        seen.add(late)
        return host.route(late, origin)
      }
      return entered instanceof Promise
        ? entered.then(async (late) => {
            if (late !== 'handled') await goOn(late)
          })
        : goOn(entered)
    }, 1000)

    const desk = scope.find(RuleDesk)
    if (desk === undefined) return
    const trial: RuleTrier = {
      covers: (from, to) => host.covers(host.isServed(from.domain) ? from.domain : to.domain),
      async attempt(stanza, from, to, steps) {
        const account = await host.accounts.byAddress(from.bareString)
        const subject = { ...subjectOf(stanza, from, to, undefined, true), role: account?.role }
        return engine.judge(subject, steps)
      },
    }
    desk.add(trial)
    scope.defer(() => void desk.delete(trial))
  },
})

const facts = ({ stanza, from, to, direction }: Subject) => ({
  kind: stanza.name,
  type: typeOf(stanza),
  from: from.toString(),
  to: to.toString(),
  direction,
})

function directionOf(host: Host, from: Jid, to: Jid): Direction {
  if (!host.isServed(from.domain)) return 'in'
  return host.isServed(to.domain) ? 'local' : 'out'
}

/** With its address as the router knows it, so that it is the same stanza when it leaves. */
function prepared(stanza: Element, to: Jid, redirected: boolean): Element {
  const written = stanza.get('to')
  // A rule may have given it another address, which is prepared.
  const good = redirected ? written : to.toString()
  return written === undefined || written === good ? stanza : stanza.with({ to: good })
}

/** The subscription state of the other party in our account's roster; 0 where there is none. */
function rosterState(host: Host, { from, to, direction }: Subject): Soon<number> {
  const [owner, other] = direction === 'out' ? [from, to] : [to, from]
  const contact = other.bareString
  // Everybody knows himself.
  if (contact === owner.bareString) return LISTED | TO | FROM
  const roster = host.sessions(owner.bareString)[0]?.account.roster
  if (roster !== undefined) return roster.state(contact)
  return host.accounts
    .byAddress(owner.bareString)
    .then((account) => (account === undefined ? 0 : host.store.account(rosterStore, account.id).state({ contact })))
}

/** A condition that names a role which no account has would never hold. */
function mustBeRoles({ rules }: RulesConfig, { accounts }: Host): void {
  const known = [GUEST, ...accounts.roles.assignable]
  for (const { name, if: when, unless } of rules)
    for (const role of [...(when?.role ?? []), ...(unless?.role ?? [])])
      if (!known.includes(role))
        throw new RangeError(`the rule '${name}' names the role '${role}': there are ${known.join(', ')}`)
}
