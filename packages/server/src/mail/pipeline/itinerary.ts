// Where one mail goes: each recipient is taken along the routes to its targets; those that take the same way to the same target share one delivery.

import { type MailAddress, parseMailAddress } from '@aviso/mime'
import { SmtpError } from '@aviso/smtp'
import type { Account } from '../../accounts/contracts.ts'
import type { Chronicle } from './chronicle.ts'
import type { Delivery, Mail, Message, Recipient, Routed } from './contracts.ts'
import type { Passage } from './passage.ts'
import type { PipelineOptions } from './pipeline.ts'
import { choose, type NamedModifier, type NamedTarget, type Route } from './routes.ts'

/** A way through the modifiers: copies that take the same way are the same message. */
export interface Way {
  /** Those of the pipeline, then those of each route that was taken. */
  readonly modifiers: readonly NamedModifier[]
  /** Sent on to another server though it came for a recipient here. */
  readonly forwarded: boolean
}

/** One delivery under way. */
export interface Leg {
  to: NamedTarget
  readonly way: Way
  mail: Mail
  delivery: Delivery
  routed: readonly Routed[]
}

/** Local mailboxes that one mail is put into while its sender waits; with more, all of them are left to the queue. */
const AT_ONCE = 64

/** One recipient's mail at the end of its routes. */
interface Planned {
  readonly to: NamedTarget
  readonly way: Way
  readonly routed: Routed
}

type Ways = readonly [stay: Way, onward: Way]

export class Itinerary {
  readonly #options: PipelineOptions
  readonly #passage: Passage
  readonly #chronicle: Chronicle
  readonly #legs: Leg[] = []
  readonly #ways: Way[]
  /** The mail as it goes each way whose reverse-path may differ. */
  readonly #mails = new Map<Way, Mail>()
  readonly #start: Ways
  readonly #entered = new Set<Route>()
  /** Keeps one delivery from being filled by the client's answers to each recipient. */
  readonly #each: boolean

  constructor(options: PipelineOptions, passage: Passage, chronicle: Chronicle, each: boolean) {
    this.#options = options
    this.#passage = passage
    this.#chronicle = chronicle
    this.#each = each
    const { modifiers } = options
    this.#start = [
      { modifiers, forwarded: false },
      { modifiers, forwarded: true },
    ]
    this.#ways = [...this.#start]
  }

  get legs(): readonly Leg[] {
    return this.#legs
  }

  /** The routes that recipients have taken: their checks have a say about the content. */
  get entered(): ReadonlySet<Route> {
    return this.#entered
  }

  /** Takes a recipient to its targets, all or none of them. Throws `SmtpError`. */
  async add(address: MailAddress, recipient: Recipient): Promise<void> {
    const planned: Planned[] = []
    for (const each of await this.#rewritten(address, this.#options.modifiers, recipient))
      await this.#follow(this.#options.routes, each, recipient, this.#start, planned)
    const begun: [Leg, Routed][] = []
    try {
      for (const one of planned) {
        const leg = await this.#leg(one)
        // Two ways to the same end are one copy.
        if (!this.#each && leg.routed.some((other) => sameEnd(other, one.routed))) continue
        const added = leg.delivery.add(one.routed)
        if (added instanceof Promise) await added
        leg.routed = [...leg.routed, one.routed]
        begun.push([leg, one.routed])
        if (leg.routed.length === AT_ONCE && !leg.to.target.queued && !this.#each) await this.#leaveToQueue(leg)
      }
    } catch (error) {
      for (const [leg, routed] of begun) await without(leg, (one) => one === routed)
      throw error
    }
  }

  /** Leaves out a recipient that was accepted before. */
  async remove(address: MailAddress): Promise<void> {
    for (const leg of this.#legs)
      await without(leg, ({ recipient }) => recipient.address.toString() === address.toString())
  }

  /** The mail has another reverse-path: what was begun under the old one begins anew. */
  async senderChanged(): Promise<void> {
    this.#mails.clear()
    for (const leg of this.#legs) {
      leg.mail = await this.#mailFor(leg.way)
      await anew(leg, leg.routed)
    }
  }

  /** Forgets all deliveries. */
  abort(): void {
    for (const { delivery } of this.#legs) delivery.abort()
    this.#legs.length = 0
  }

  /** Follows the routes down to their ends. */
  async #follow(
    routes: readonly Route[],
    address: MailAddress,
    recipient: Recipient,
    ways: Ways,
    planned: Planned[],
  ): Promise<void> {
    const { accounts } = this.#options
    const { reversePath, client } = this.#passage
    const route =
      routes.length === 0
        ? undefined
        : await this.#lookedUp(address, () =>
            choose(routes, {
              sender: reversePath,
              recipient: address,
              account: client.account,
              isLocal: (domain) => accounts.isLocal(domain),
            }),
          )
    if (route === undefined) return this.#toAccounts(address, recipient, ways, planned)
    this.#chronicle.add({ stage: 'route', by: route.name, did: 'fits', recipient: address.toString() })
    await this.#passage.enter(route, recipient, !this.#entered.has(route))
    this.#entered.add(route)
    const { end } = route
    if (end.kind === 'reject') throw end.reply
    const own = this.#extended(ways, route)
    for (const each of await this.#rewritten(address, route.modifiers, recipient))
      if (end.kind === 'routes') await this.#follow(end.routes, each, recipient, own, planned)
      else {
        if (end.accounts) await this.#toAccounts(each, recipient, own, planned)
        for (const to of end.targets)
          this.#plan({ to, way: own[0], routed: { recipient, address: each, account: undefined } }, planned)
      }
  }

  /** Our accounts and aliases; for those who may relay, everybody else. */
  async #toAccounts(
    address: MailAddress,
    recipient: Recipient,
    [stay, onward]: Ways,
    planned: Planned[],
  ): Promise<void> {
    const { accounts, mailbox, remote } = this.#options
    const resolution = await this.#lookedUp(address, () => accounts.resolve(address.toString()))
    if (resolution.kind === 'unknown')
      throw new SmtpError(550, '5.1.1', `There is no mailbox ${address.toString()} here`)
    if (resolution.kind === 'foreign') {
      // What a modifier made of one of our addresses is sent on, as an alias does.
      if (address !== recipient.address && accounts.isLocal(recipient.address.domain))
        return this.#plan({ to: remote, way: onward, routed: { recipient, address, account: undefined } }, planned)
      this.#mayRelay(address)
      return this.#plan({ to: remote, way: stay, routed: { recipient, address, account: undefined } }, planned)
    }
    for (const account of resolution.accounts)
      // Its own address, not the alias that led here: in the queue each waiting mailbox must have a name of its own.
      this.#plan(
        {
          to: mailbox,
          way: stay,
          routed: { recipient, address: ownAddress(account, address), account },
        },
        planned,
      )
    for (const forward of resolution.forwards) {
      const to = parseMailAddress(forward)
      if (to !== undefined)
        this.#plan({ to: remote, way: onward, routed: { recipient, address: to, account: undefined } }, planned)
    }
  }

  #plan(one: Planned, planned: Planned[]): void {
    this.#chronicle.add({
      stage: 'route',
      by: one.way.forwarded ? 'forward' : 'accounts',
      did: `to ${one.to.key}`,
      recipient: one.routed.address.toString(),
    })
    planned.push(one)
  }

  #mayRelay(address: MailAddress): void {
    const { account } = this.#passage.client
    if (this.#options.relay) return
    if (account === undefined)
      throw new SmtpError(550, '5.7.1', `${address.domain} is not served here, and relaying needs a login`)
    if (!this.#options.accounts.may(account, 'mail-elsewhere'))
      throw new SmtpError(550, '5.7.1', `The account ${account.address} may send to local addresses only`)
  }

  async #leg({ to, way }: Planned): Promise<Leg> {
    const known = this.#legs.find((one) => one.to.key === to.key && one.way === way)
    if (known !== undefined) return known
    const passage = this.#passage
    const mail = await this.#mailFor(way)
    // RFC 4865: what its sender wants held waits in the queue, our own mailboxes' mail too.
    const later = to.target.queued || (passage.parameters.holdUntil !== undefined && !this.#each)
    const { target } = later ? this.#options.queue.for(to) : to
    const leg: Leg = { to: { key: to.key, target }, way, mail, delivery: target.begin(mail), routed: [] }
    this.#legs.push(leg)
    return leg
  }

  /** So many that their sender would wait long: the queue takes them all, and delivers at once. */
  async #leaveToQueue(leg: Leg): Promise<void> {
    leg.delivery.abort()
    const { target } = this.#options.queue.for(leg.to)
    const delivery = target.begin(leg.mail)
    for (const routed of leg.routed) await delivery.add(routed)
    // The same leg goes on: whoever has to take a recipient out of it again finds it.
    leg.to = { key: leg.to.key, target }
    leg.delivery = delivery
  }

  /** What modifiers make of the reverse-path. */
  async rewrittenSender(modifiers: readonly NamedModifier[], sender: MailAddress | null): Promise<MailAddress | null> {
    let current = sender
    for (const { name, modifier } of modifiers) {
      if (current === null || modifier.sender === undefined) continue
      const before = current.toString()
      current = await modifier.sender(this.#passage, current)
      const after = current?.toString() ?? '<>'
      if (after !== before)
        this.#chronicle.add({ stage: 'modifier', by: name, did: `sender ${before} becomes ${after}` })
    }
    return current
  }

  /** The mail as it goes a way: its reverse-path is what the routes make of it, and of what is sent on, the forwarder's to choose. */
  async #mailFor(way: Way): Promise<Mail> {
    const passage = this.#passage
    if (way === this.#start[0]) return passage
    const known = this.#mails.get(way)
    if (known !== undefined) return known
    let sender = await this.rewrittenSender(way.modifiers.slice(this.#options.modifiers.length), passage.sender)
    if (way.forwarded)
      for (const { modifier } of way.modifiers)
        if (sender !== null && modifier.forward !== undefined) sender = await modifier.forward(passage, sender)
    const mail = sender === passage.sender ? passage : withSender(passage, sender)
    this.#mails.set(way, mail)
    return mail
  }

  async #rewritten(
    address: MailAddress,
    modifiers: readonly NamedModifier[],
    recipient: Recipient,
  ): Promise<readonly MailAddress[]> {
    let addresses: readonly MailAddress[] = [address]
    for (const { name, modifier } of modifiers) {
      if (modifier.recipient === undefined) continue
      const became: MailAddress[] = []
      for (const one of addresses) {
        const next = modifier.recipient(this.#passage, one)
        became.push(...(next instanceof Promise ? await next : next))
      }
      // As nearly always.
      if (became.length === addresses.length && became.every((one, i) => one === addresses[i])) continue
      const made = new Map(became.map((one) => [one.toString(), one]))
      const after = [...made.keys()].join(', ')
      if (after !== addresses.map(String).join(', '))
        this.#chronicle.add({
          stage: 'modifier',
          by: name,
          did: after === '' ? 'takes the recipient out' : `recipient becomes ${after}`,
          recipient: recipient.address.toString(),
        })
      addresses = [...made.values()]
    }
    return addresses
  }

  /** The ways with a route's modifiers behind those before it; the same two for each recipient that takes it. */
  #extended([stay, onward]: Ways, { modifiers }: Route): Ways {
    if (modifiers.length === 0) return [stay, onward]
    const extend = (way: Way): Way => {
      const wanted = [...way.modifiers, ...modifiers]
      const known = this.#ways.find(
        (one) =>
          one.forwarded === way.forwarded &&
          one.modifiers.length === wanted.length &&
          one.modifiers.every((modifier, i) => modifier === wanted[i]),
      )
      if (known !== undefined) return known
      const made: Way = { modifiers: wanted, forwarded: way.forwarded }
      this.#ways.push(made)
      return made
    }
    return [extend(stay), extend(onward)]
  }

  /** Runs a look-up. What fails there is "later", never another way. */
  async #lookedUp<T>(address: MailAddress, look: () => Promise<T>): Promise<T> {
    const { client, id } = this.#passage
    try {
      return await look()
    } catch (error) {
      if (error instanceof SmtpError) throw error
      client.log.error({ err: error, mail: id }, 'a recipient cannot be looked up now')
      throw new SmtpError(451, '4.3.0', `${address.toString()} cannot be looked up now, please try again later`, {
        cause: error,
      })
    }
  }
}

/** Runs the header edits of `way` on the message that the checks left; every modifier sees what those before it made. */
export async function modified(mail: Mail, message: Message, way: Way): Promise<Message> {
  let current = message
  for (const seals of [false, true])
    for (const { modifier } of way.modifiers) {
      if ((modifier.seals === true) !== seals) continue
      const asked = modifier.edit?.(mail, current, way.forwarded)
      const edit = asked instanceof Promise ? await asked : asked
      if (edit !== undefined) current = (edit.message ?? current).edited([edit])
    }
  return current
}

/** `address` where that is it already, as in most mail. */
const ownAddress = (account: Account, address: MailAddress): MailAddress =>
  account.address === address.toString() ? address : (parseMailAddress(account.address) ?? address)

const sameEnd = (a: Routed, b: Routed): boolean =>
  a.account === undefined ? a.address.toString() === b.address.toString() : a.account.id === b.account?.id

/** Takes recipients out of a delivery, which has to begin anew for that. */
async function without(leg: Leg, gone: (routed: Routed) => boolean): Promise<void> {
  const left = leg.routed.filter((routed) => !gone(routed))
  if (left.length < leg.routed.length) await anew(leg, left)
}

async function anew(leg: Leg, routed: readonly Routed[]): Promise<void> {
  leg.delivery.abort()
  leg.delivery = leg.to.target.begin(leg.mail)
  leg.routed = routed
  for (const one of routed) await leg.delivery.add(one)
}

/** A mail whose reverse-path differs for one leg. */
const withSender = (mail: Mail, sender: MailAddress | null): Mail => ({
  id: mail.id,
  client: mail.client,
  reversePath: mail.reversePath,
  sender,
  parameters: mail.parameters,
  recipients: mail.recipients,
  received: mail.received,
  results: mail.results,
  simulated: mail.simulated,
  external: mail.external,
  once: (finding, make) => mail.once(finding, make),
})
