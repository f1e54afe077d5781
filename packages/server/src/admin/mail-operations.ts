// Operations on the mail of accounts. Octets cross the control socket as base64, in pieces of a size that its lines can have.

import type { FlagSet, MailboxRole } from '@aviso/imap'
import type { Examination, ImportAnswer, MessageQuery, NewMail } from '../mail/administration.ts'
import type { Moment } from '../mail/transfer/contracts.ts'
import type { AdminContext } from './operations.ts'

/** Octets of one piece of a message on its way over the socket. */
export const PIECE_OCTETS = 1024 * 1024

interface InMailbox {
  readonly address: string
  readonly mailbox: string
}

/** A message as it crosses the socket. */
export interface MailOnWire {
  /** base64, or the token under which its pieces went ahead. */
  readonly content: string | { readonly staged: string }
  readonly flags: FlagSet
  readonly date?: Moment
}

export interface ImportEntryOnWire {
  /** base64 */
  readonly key: string
  readonly nth?: number
  readonly mail?: MailOnWire
}

const newMail = ({ content, flags, date }: MailOnWire): NewMail => ({
  bytes: typeof content === 'string' ? Buffer.from(content, 'base64') : content,
  flags,
  date,
})

/** Some UIDs' octets in one answer. `null` stands for a message that is gone, or is too large to come along: ask for it in pieces. */
export interface OctetsOnWire {
  readonly uid: number
  readonly content: string | null
}

export const mailOperations = {
  'mail.limit': async ({ mail }: AdminContext, _args: undefined): Promise<{ readonly octets: number }> => ({
    octets: mail.appendLimit,
  }),
  'mailbox.list': ({ mail }: AdminContext, { address }: { readonly address: string }) => mail.mailboxes(address),
  'mailbox.status': ({ mail }: AdminContext, { address, mailbox }: InMailbox) => mail.mailbox(address, mailbox),
  'mailbox.create': ({ mail }: AdminContext, { address, mailbox, role }: InMailbox & { readonly role?: MailboxRole }) =>
    mail.createMailbox(address, mailbox, role),
  'mailbox.rename': ({ mail }: AdminContext, { address, mailbox, to }: InMailbox & { readonly to: string }) =>
    mail.renameMailbox(address, mailbox, to),
  'mailbox.delete': ({ mail }: AdminContext, { address, mailbox }: InMailbox) => mail.deleteMailbox(address, mailbox),
  'mailbox.subscribe': (
    { mail }: AdminContext,
    { address, mailbox, subscribed }: InMailbox & { readonly subscribed: boolean },
  ) => mail.subscribe(address, mailbox, subscribed),
  /** Octets. */
  'mailbox.limit': (
    { mail }: AdminContext,
    { address, mailbox, change }: InMailbox & { readonly change?: number | 'default' },
  ) => mail.messageLimit(address, mailbox, change),

  'message.list': (
    { mail }: AdminContext,
    {
      address,
      mailbox,
      query,
      ...page
    }: InMailbox & {
      readonly query: MessageQuery
      readonly after: number
      readonly limit: number
      readonly headers: boolean
    },
  ) => mail.messages(address, mailbox, query, page),
  /** The octets of several messages, as far as one answer can hold them. */
  'message.read': async (
    { mail }: AdminContext,
    { address, mailbox, uids }: InMailbox & { readonly uids: readonly number[] },
  ): Promise<readonly OctetsOnWire[]> => {
    const found = await Promise.all(uids.map((uid) => mail.octets(address, mailbox, uid, 0, PIECE_OCTETS + 1)))
    return uids.map((uid, i) => {
      const octets = found[i]
      return { uid, content: octets === undefined || octets.byteLength > PIECE_OCTETS ? null : base64(octets) }
    })
  },
  /** One piece of a message, in base64; null when there is no such message. */
  'message.piece': async (
    { mail }: AdminContext,
    { address, mailbox, uid, start }: InMailbox & { readonly uid: number; readonly start: number },
  ): Promise<string | null> => {
    const octets = await mail.octets(address, mailbox, uid, start, start + PIECE_OCTETS)
    return octets === undefined ? null : base64(octets)
  },
  'message.add': async (
    { mail }: AdminContext,
    { address, mailbox, message }: InMailbox & { readonly message: MailOnWire },
  ): Promise<{ readonly uid: number }> => ({ uid: await mail.add(address, mailbox, newMail(message)) }),
  'message.flags': async (
    { mail }: AdminContext,
    {
      address,
      mailbox,
      uids,
      action,
      flags,
    }: InMailbox & { readonly uids: string; readonly action: 'add' | 'remove' | 'set'; readonly flags: FlagSet },
  ): Promise<{ readonly messages: number }> => ({
    messages: await mail.flag(address, mailbox, uids, action, flags),
  }),
  'message.copy': async (
    { mail }: AdminContext,
    { address, mailbox, uids, to }: InMailbox & { readonly uids: string; readonly to: string },
  ): Promise<{ readonly messages: number }> => ({ messages: await mail.copy(address, mailbox, uids, to) }),
  'message.move': async (
    { mail }: AdminContext,
    { address, mailbox, uids, to }: InMailbox & { readonly uids: string; readonly to: string },
  ): Promise<{ readonly messages: number }> => ({ messages: await mail.move(address, mailbox, uids, to) }),
  'message.delete': async (
    { mail }: AdminContext,
    { address, mailbox, uids }: InMailbox & { readonly uids: string },
  ): Promise<{ readonly messages: number }> => ({ messages: await mail.expunge(address, mailbox, uids) }),

  'mail.stage': (
    { mail }: AdminContext,
    { token, content, octets }: { readonly token: string; readonly content: string; readonly octets: number },
  ): Promise<void> => mail.stage(token, Buffer.from(content, 'base64'), octets),
  'mail.import': (
    { mail }: AdminContext,
    {
      address,
      mailbox,
      run,
      entries,
    }: InMailbox & { readonly run: number; readonly entries: readonly ImportEntryOnWire[] },
  ): Promise<readonly ImportAnswer[]> =>
    mail.import(address, {
      mailbox,
      run,
      entries: entries.map(({ key, nth, mail: message }) => ({
        key: Buffer.from(key, 'base64'),
        nth,
        mail: message === undefined ? undefined : newMail(message),
      })),
    }),
  'mail.examine': (
    { mail }: AdminContext,
    { address, repair }: { readonly address: string; readonly repair: boolean },
  ): Promise<Examination> => mail.examine(address, repair),
  'mail.forget-imports': ({ mail }: AdminContext, { address }: { readonly address: string }) =>
    mail.forgetImports(address),
} as const

const base64 = (octets: Uint8Array): string =>
  Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString('base64')
