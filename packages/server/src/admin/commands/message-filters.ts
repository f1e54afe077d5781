// Which messages `aviso message list` and `aviso message export` are about

import type { Command } from 'commander'
import type { MessageQuery } from '../../mail/administration.ts'
import { countOf, flagOf, several, since, sizeOf } from '../arguments.ts'
import { UsageError } from '../terminal.ts'

/** The options that choose messages. */
export interface Filters {
  readonly since?: number
  readonly before?: number
  readonly seen?: boolean
  readonly unseen?: boolean
  readonly flagged?: boolean
  readonly with?: readonly string[]
  readonly without?: readonly string[]
  readonly larger?: number
  readonly smaller?: number
  readonly from?: string
  readonly to?: string
  readonly subject?: string
  readonly last?: number
}

/** Adds the options that choose messages. */
export const filtered = (command: Command): Command =>
  command
    .option('--since <date>', 'that came at or after this date, or within this time (7d)', since)
    .option('--before <date>', 'that came before this date', since)
    .option('--unseen', 'not flagged \\Seen')
    .option('--seen', 'flagged \\Seen')
    .option('--flagged', 'flagged \\Flagged')
    .option('--with <flag>', 'with this flag or keyword; again for more', several)
    .option('--without <flag>', 'without this flag or keyword; again for more', several)
    .option('--larger <size>', 'larger than this', sizeOf)
    .option('--smaller <size>', 'smaller than this', sizeOf)
    .option('--from <text>', 'with this text in From')
    .option('--to <text>', 'with this text in To')
    .option('--subject <text>', 'with this text in Subject')
    .option('--last <n>', 'among the last n messages of the mailbox', countOf)

/** What the options ask for. Throws `UsageError` where they exclude each other. */
export function queryOf(uids: string | undefined, options: Filters): MessageQuery {
  if (options.seen === true && options.unseen === true)
    throw new UsageError('--seen and --unseen together choose nothing')
  const { since: from, before, larger, smaller, from: sender, to, subject, last } = options
  return {
    with: [
      ...(options.with ?? []).map(flagOf),
      ...(options.seen === true ? ['\\Seen'] : []),
      ...(options.flagged === true ? ['\\Flagged'] : []),
    ],
    without: [...(options.without ?? []).map(flagOf), ...(options.unseen === true ? ['\\Seen'] : [])],
    ...(uids === undefined ? {} : { uids }),
    ...(from === undefined ? {} : { since: from }),
    ...(before === undefined ? {} : { before }),
    ...(larger === undefined ? {} : { larger }),
    ...(smaller === undefined ? {} : { smaller }),
    ...(sender === undefined ? {} : { from: sender }),
    ...(to === undefined ? {} : { to }),
    ...(subject === undefined ? {} : { subject }),
    ...(last === undefined ? {} : { last }),
  }
}
