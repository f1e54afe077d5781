// Operations on DKIM keys, and what is found out of senders and messages.

import type { SpfSubject } from '../mail/authentication-admin.ts'
import type { KeyKind } from '../mail/keys/generate.ts'
import type { AdminContext } from './operations.ts'

export const authenticationOperations = {
  'dkim.keys': ({ authentication }: AdminContext, { domain }: { readonly domain?: string }) =>
    authentication.keys(domain),
  /** The delay in milliseconds. */
  'dkim.rotate': (
    { authentication }: AdminContext,
    { domain, delay, kinds }: { readonly domain: string; readonly delay: number; readonly kinds?: readonly KeyKind[] },
  ) => authentication.rotate(domain, delay, kinds),
  'dkim.import': (
    { authentication }: AdminContext,
    { domain, selector, pem }: { readonly domain: string; readonly selector: string; readonly pem: string },
  ) => authentication.importKey(domain, selector, pem),
  'dkim.remove': (
    { authentication }: AdminContext,
    { domain, selector }: { readonly domain: string; readonly selector: string },
  ) => authentication.removeKey(domain, selector),
  'check.spf': ({ authentication }: AdminContext, subject: SpfSubject) => authentication.checkSpf(subject),
  /** The message in base64. */
  'check.message': (
    { authentication }: AdminContext,
    { message, subject }: { readonly message: string; readonly subject?: SpfSubject },
  ) => authentication.checkMessage(Buffer.from(message, 'base64'), subject),
}
