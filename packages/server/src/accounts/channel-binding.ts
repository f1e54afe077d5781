// What a session can be bound to, as the SASL mechanisms ask for it.

import type { ChannelBinding, ChannelBindingType } from '@aviso/sasl'
import type { LoginContext } from './contracts.ts'

/** The best first. */
const TYPES: readonly ChannelBindingType[] = ['tls-exporter', 'tls-unique', 'tls-server-end-point']

export function channelBindingOf(context: LoginContext): ChannelBinding | undefined {
  const channelBinding = context.channelBinding?.()
  if (channelBinding === undefined || channelBinding.size === 0) return undefined
  return { types: TYPES.filter((type) => channelBinding.has(type)), value: (type) => channelBinding.get(type) }
}
