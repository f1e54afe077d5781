// Which of our domains a feature works for: those that have settings of their own get an instance of their own.

import { serviceKey } from '../../kernel/scope.ts'

/** A set of domains. */
export interface Domains {
  covers(domain: string): boolean
}

/** Provided to a feature that does not work for all domains. */
export const Domains = serviceKey<Domains>('chat-domains')

/** True where the thing is for everybody, or for that domain among others. */
export const isFor = (domains: Domains | undefined, domain: string): boolean =>
  domains === undefined || domains.covers(domain)
