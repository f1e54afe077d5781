// XEP-0050: what a command is, for the features that offer some

import type { Element, Jid } from '@aviso/xmpp'
import type { Account, Accounts } from '../../accounts/contracts.ts'
import type { Permission } from '../../accounts/roles.ts'
import { type Domains, isFor } from './domains.ts'
import type { Submission } from './forms.ts'

export interface Command {
  readonly node: string
  /** As clients show it. */
  readonly name: string
  /** What an account needs to see and run it, where its role says nothing of `command:` and the node. */
  readonly needs: Permission
  /** The first stage. Throws a StanzaError, which the client is told. */
  run(call: CommandCall): Stage | Promise<Stage>
}

export interface CommandCall {
  /** Who runs it, as of now. */
  readonly account: Account
  /** The full JID. */
  readonly from: Jid
  /** The domain at which it was run. */
  readonly domain: string
}

/** What the client is to fill in next, or the end. */
export type Stage = FormStage | Finished

export interface FormStage {
  readonly form: Element
  /** True where `next` may lead to another form; else the client is told that this completes the command. */
  readonly more?: boolean
  /** Takes what was filled in. A StanzaError leaves the command at this stage. */
  next(filled: Submission): Stage | Promise<Stage>
}

export interface Finished {
  readonly done: true
  /** Told in words. */
  readonly note?: string
  readonly warning?: string
  /** Told as a form of type `result`. */
  readonly form?: Element
}

export const finished = (note?: string, form?: Element): Finished => ({
  done: true,
  ...(note !== undefined && { note }),
  ...(form !== undefined && { form }),
})

/** The commands of one generation: one for each node, or one for each set of domains. */
export class CommandRegistry {
  readonly #commands = new Set<{ readonly command: Command; readonly domains: Domains | undefined }>()

  /** Adds a command; returns the way to take it off. Throws where there is one. */
  add(command: Command, domains: Domains | undefined): () => void {
    for (const other of this.#commands)
      if (other.command.node === command.node && (domains === undefined || other.domains === undefined))
        throw new Error(`two features offer the command ${command.node}`)
    const entry = { command, domains }
    this.#commands.add(entry)
    return () => void this.#commands.delete(entry)
  }

  of(domain: string): ReadonlyMap<string, Command> {
    const offered = [...this.#commands].filter(({ domains }) => isFor(domains, domain))
    return new Map(offered.map(({ command }) => [command.node, command]))
  }
}

/** True when the account may see and run the command. */
export const mayRun = (accounts: Accounts, account: Account, { node, needs }: Command): boolean =>
  accounts.may(account, `command:${node}`, needs)
