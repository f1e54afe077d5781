// XEP-0030: how features say what the host, its accounts and its services are and can do.

import type { Element } from '@aviso/xmpp'
import type { IqRequest } from './contracts.ts'

/** Who is described: the server, each account (to those who may know of it), each service on a domain of its own, or each address at one. */
export type DiscoSubject = 'host' | 'account' | 'service' | 'address'

/** XEP-0030: what the host and its accounts are and can do. */
export interface Disco {
  feature(name: string, subjects?: readonly DiscoSubject[]): void
  identity(identity: DiscoIdentity, subjects?: readonly DiscoSubject[]): void
  /** Something that the host offers under another address or node; `of`: at this domain only. */
  item(item: DiscoItem, of?: string): void
  /** A form about the server (XEP-0128), beside its identities and features. */
  form(form: Element): void
  /** A node of the host, with what is to be told of it. */
  node(node: string, description: DiscoNode): void
  /** Nodes whose names are known only when they are asked for. */
  otherNodes(find: DiscoFinder): void
  /** What is found at the accounts. */
  accountNodes(nodes: AccountNodes): void
}

/** Nodes of accounts: whoever offers them knows who may know of them. All may throw a StanzaError. */
export interface AccountNodes {
  /** Those that the asker, who may see the account's presence, may know of. */
  list(iq: IqRequest): Promise<readonly DiscoItem[]>
  node(name: string): DiscoNode | undefined
}

/** Finds a node of one of our domains. */
export type DiscoFinder = (node: string, domain: string) => DiscoNode | undefined

/** A node of the host. Both may throw a StanzaError for those who may not know of it. */
export interface DiscoNode {
  info(iq: IqRequest): DiscoInfo | Promise<DiscoInfo>
  items(iq: IqRequest): readonly DiscoItem[] | Promise<readonly DiscoItem[]>
}

export interface DiscoInfo {
  readonly identities: readonly DiscoIdentity[]
  readonly features: readonly string[]
  readonly forms?: readonly Element[]
}

export interface DiscoIdentity {
  readonly category: string
  readonly type: string
  readonly name?: string
  readonly lang?: string
}

export interface DiscoItem {
  readonly jid: string
  readonly node?: string
  readonly name?: string
}

/** What a feature is described by now: for those that answer disco themselves. */
export interface DiscoFacts {
  features(subject: DiscoSubject): readonly string[]
  identities(subject: DiscoSubject): readonly DiscoIdentity[]
  items(): readonly DiscoItem[]
  /** Of the host. */
  forms(): readonly Element[]
  node(name: string): DiscoNode | undefined
  accountNodes(): AccountNodes | undefined
  /** Grows with each change. */
  readonly revision: number
}
