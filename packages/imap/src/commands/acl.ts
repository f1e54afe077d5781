// RFC 4314 SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS

import { prepareName } from '@aviso/sasl'
import { ALL_RIGHTS, BackendError, type MailAccount, type MailboxEntry } from '../backend.ts'
import { defineCommand } from '../server/command.ts'
import { knownMailbox } from '../server/listing.ts'
import { ownerOf } from '../server/namespaces.ts'
import { allows, changeRights, parseRightsChange, showRights } from '../server/rights.ts'
import { astring, astringOf } from '../wire/encode.ts'
import { bad, no } from '../wire/errors.ts'
import { writeMailboxName } from '../wire/mailbox-name.ts'
import type { Parser } from '../wire/parser.ts'

type Sharing = MailAccount & Required<Pick<MailAccount, 'acl' | 'setAcl'>>

/** Throws BAD for an account without ACL: a command that is not announced is unknown. */
function sharing(account: MailAccount): Sharing {
  if (account.acl === undefined || account.setAcl === undefined) throw bad('This account has no ACL')
  return account as Sharing
}

/** The mailbox, which this user must administer. */
async function administered(account: MailAccount, name: string): Promise<MailboxEntry> {
  const entry = await knownMailbox(account, name)
  // Who may not look it up is told what they would be told if there were none (RFC 4314 §6).
  if (!allows(entry.rights, 'la')) throw new BackendError('NONEXISTENT', 'There is no such mailbox')
  if (!allows(entry.rights, 'a')) throw new BackendError('NOPERM', 'You may not administer the mailbox')
  return entry
}

function parseIdentifier(parser: Parser): { readonly given: string; readonly identifier: string } {
  const given = parser.text()
  let identifier: string
  try {
    identifier = prepareName(given)
  } catch {
    throw bad('The identifier cannot be the name of a user')
  }
  // RFC 4314 §2: servers need not know negative rights.
  if (identifier.startsWith('-')) throw no('Negative rights are not known here', 'CANNOT')
  return { given, identifier }
}

function parseMailbox(parser: Parser): string {
  parser.space()
  return parser.mailbox()
}

export const setAcl = defineCommand({
  name: 'SETACL',
  state: 'authenticated',
  parse(parser) {
    const mailbox = parseMailbox(parser)
    parser.space()
    const { identifier } = parseIdentifier(parser)
    parser.space()
    return { mailbox, identifier, change: parseRightsChange(parser.text()) }
  },
  async execute(session, { mailbox, identifier, change }) {
    const account = sharing(session.account)
    await administered(account, mailbox)
    const held = change.action === 'set' ? '' : ((await account.acl(mailbox)).get(identifier) ?? '')
    await account.setAcl(mailbox, identifier, changeRights(held, change))
  },
})

export const deleteAcl = defineCommand({
  name: 'DELETEACL',
  state: 'authenticated',
  parse(parser) {
    const mailbox = parseMailbox(parser)
    parser.space()
    return { mailbox, identifier: parseIdentifier(parser).identifier }
  },
  async execute(session, { mailbox, identifier }) {
    const account = sharing(session.account)
    await administered(account, mailbox)
    await account.setAcl(mailbox, identifier, undefined)
  },
})

export const getAcl = defineCommand({
  name: 'GETACL',
  state: 'authenticated',
  parse: parseMailbox,
  async execute(session, mailbox) {
    const account = sharing(session.account)
    await administered(account, mailbox)
    let line = `ACL ${writeMailboxName(mailbox, session.utf8)}`
    for (const [identifier, rights] of await account.acl(mailbox))
      line += ` ${astringOf(identifier)} ${astring(showRights(rights))}`
    session.out.untagged(line)
  },
})

export const listRights = defineCommand({
  name: 'LISTRIGHTS',
  state: 'authenticated',
  parse(parser) {
    const mailbox = parseMailbox(parser)
    parser.space()
    return { mailbox, ...parseIdentifier(parser) }
  },
  async execute(session, { mailbox, given, identifier }) {
    const account = sharing(session.account)
    await administered(account, mailbox)
    // The owner's rights cannot be taken; everybody else's are free, each by itself.
    const owner = ownerOf(account, mailbox) === identifier
    const rights = owner ? showRights(ALL_RIGHTS) : ['""', ...showRights(ALL_RIGHTS)].join(' ')
    session.out.untagged(`LISTRIGHTS ${writeMailboxName(mailbox, session.utf8)} ${astringOf(given)} ${rights}`)
  },
})

export const myRights = defineCommand({
  name: 'MYRIGHTS',
  state: 'authenticated',
  parse: parseMailbox,
  async execute(session, mailbox) {
    sharing(session.account)
    const { rights } = await knownMailbox(session.account, mailbox)
    session.out.untagged(`MYRIGHTS ${writeMailboxName(mailbox, session.utf8)} ${showRights(rights)}`)
  },
})
