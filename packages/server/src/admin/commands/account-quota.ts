// aviso account quota ...

import type { Command } from 'commander'
import { parseSize } from '../../kernel/units.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { QuotaLimit, QuotaLine } from '../operations.ts'
import type { Programme } from '../programme.ts'
import { show, table, UsageError } from '../terminal.ts'

interface QuotaOptions extends CommonOptions {
  readonly storage?: string
  readonly messages?: string
  readonly mailboxes?: string
  readonly messageSize?: string
}

/** Adds `quota` to `aviso account`. */
export function quotaCommand(programme: Programme, account: Command): void {
  const quota = account
    .command('quota <address>')
    .description('what the mail of an account takes up, and its limits; with options, sets its own limits')
    .option('--storage <size>', "such as 1GiB, or 'none', or 'default' for what the config says")
    .option('--messages <count>', "a number, 'none' or 'default'")
    .option('--mailboxes <count>', "a number, 'none' or 'default'")
    .option('--message-size <size>', "of the largest message, such as 10MiB, or 'default'")
  common(quota).action(async (address: string, options: QuotaOptions) => {
    const change = {
      ...given('storage', '--storage', options.storage, storageSize),
      ...given('messages', '--messages', options.messages, wholeNumber),
      ...given('mailboxes', '--mailboxes', options.mailboxes, wholeNumber),
      ...(options.messageSize === undefined ? {} : { message: messageSize('--message-size', options.messageSize) }),
    }
    const found = await withAdmin(programme, options, (admin) => admin.ask('account.quota', { address, change }))
    show(options.json === true, found, () =>
      table(
        ['resource', 'used', 'limit', 'set by'],
        [
          row('storage', found.storage, storageText),
          row('messages', found.messages, String),
          row('mailboxes', found.mailboxes, String),
          ['one message', '', storageText(found.message.limit), setBy(found.message.own)],
        ],
      ),
    )
  })
}

function given<Name extends string>(
  name: Name,
  option: string,
  text: string | undefined,
  parse: (text: string) => number | undefined,
): { readonly [key in Name]?: QuotaLimit } {
  if (text === undefined) return {}
  const value = text === 'none' || text === 'default' ? text : parse(text)
  if (value === undefined)
    throw new UsageError(
      `${option} ${text}: expected ${name === 'storage' ? 'a size such as 500MiB or 1GiB' : 'a whole number'}, none or default`,
    )
  return { [name]: value } as { readonly [key in Name]?: QuotaLimit }
}

const storageSize = (text: string): number | undefined => (/^\d{1,15}$/.test(text) ? Number(text) : parseSize(text))
/** The size of one message as it was typed for `what`. Throws `UsageError`. */
export function messageSize(what: string, text: string): number | 'default' {
  if (text === 'default') return text
  const size = storageSize(text)
  if (size === undefined || size === 0)
    throw new UsageError(`${what} ${text}: expected a size such as 500KiB or 10MiB, or default`)
  return size
}

const wholeNumber = (text: string): number | undefined => (/^\d{1,15}$/.test(text) ? Number(text) : undefined)

const row = (name: string, { used, limit, own }: QuotaLine, text: (value: number) => string): string[] => [
  name,
  text(used),
  limit === undefined ? 'none' : text(limit),
  setBy(own),
]

const setBy = (own: boolean): string => (own ? 'this account' : 'the config')

export function storageText(octets: number): string {
  let value = octets
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return `${Number(value.toFixed(1))} ${unit}`
    value /= 1024
  }
  return `${Number(value.toFixed(1))} TiB`
}
