// The part of a notification that people read: what happened, to whom, what the other server said, what to do.

import { formatDate } from '@aviso/mime'
import type { Fact, ReportKind } from '../targets/queue/contracts.ts'
import { advice } from './advice.ts'

export interface TextParts {
  readonly kind: ReportKind
  readonly facts: readonly Fact[]
  readonly hostname: string
  /** Of the mail that it is about, decoded; '' for none. */
  readonly subject: string
  readonly created: number
  readonly at: number
}

/** Recipients that the text names; the machine part has all of them. */
const NAMED = 100

/** The text, with LF line ends. */
export function reportText({ kind, facts, hostname, subject, created, at }: TextParts): string {
  const about = `${subject === '' ? 'Your mail' : `Your mail "${subject}"`} of ${formatDate(created)}`
  const lines = [...wrapped(opening(kind, about, facts)), '']
  for (const fact of facts.slice(0, NAMED)) lines.push(...recipientLines(fact, kind, at - created), '')
  if (facts.length > NAMED) lines.push(`and ${facts.length - NAMED} more.`, '')
  lines.push(...wrapped(closing(kind, facts)), '', '-- ', `The mail server ${hostname}`, '')
  return lines.join('\n')
}

function opening(kind: ReportKind, about: string, facts: readonly Fact[]): string {
  const whom = facts.length === 1 ? 'this recipient' : `these ${facts.length} recipients`
  switch (kind) {
    case 'failure':
      return `${about} could not be delivered to ${whom}:`
    case 'delay':
      return `${about} has not been delivered to ${whom} yet. It is still being tried; you need not send it again.`
    case 'success':
      return facts.some(({ action }) => action === 'relayed')
        ? `${about} was delivered, or passed on, for ${whom}:`
        : `${about} was delivered to ${whom}:`
  }
}

function recipientLines(fact: Fact, kind: ReportKind, age: number): readonly string[] {
  const { recipient, remote, reply, action } = fact
  const lines = [`  ${recipient}`]
  if (action === 'delivered') lines.push('    is in the mailbox.')
  if (action === 'relayed')
    lines.push(...indented(`was taken by ${remote ?? 'another server'}, which will not tell when it is delivered.`))
  if (reply !== undefined && kind !== 'success') {
    const who = remote === undefined ? 'The reason:' : `The server ${remote} said:`
    lines.push(...indented(`${who} ${reply.code} ${fact.status} ${reply.text}`))
  }
  if (fact.expired === true) lines.push(...indented(`It was tried for ${span(age)}.`))
  if (fact.willRetryUntil !== undefined)
    lines.push(...indented(`It will be tried until ${formatDate(fact.willRetryUntil)}.`))
  const counsel = kind === 'failure' ? advice(fact.status, remote !== undefined) : undefined
  if (counsel !== undefined) lines.push(...indented(counsel))
  return lines
}

function closing(kind: ReportKind, facts: readonly Fact[]): string {
  if (kind === 'delay') return 'You will be told if it cannot be delivered in that time.'
  if (kind === 'success') return 'You asked to be told.'
  return facts.length === 1
    ? 'It will not be tried again. The mail, or its header, is attached.'
    : 'They will not be tried again. The mail, or its header, is attached.'
}

/** A span of time as people say it. */
function span(ms: number): string {
  const hours = Math.max(1, Math.round(ms / 3_600_000))
  if (hours < 48) return hours === 1 ? 'an hour' : `${hours} hours`
  return `${Math.round(hours / 24)} days`
}

const indented = (text: string): readonly string[] => wrapped(text, 72).map((line) => `    ${line}`)

/** Lines of at most `width` characters where words allow it. */
function wrapped(text: string, width = 76): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines
}
