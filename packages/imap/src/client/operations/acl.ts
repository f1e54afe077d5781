// RFC 4314: who may do what with a mailbox.

import type { SessionCore } from '../core.ts'
import type { CommandPart } from '../request.ts'
import type { UntaggedResponse } from '../response/types.ts'

/** Which rights an identifier can be given (RFC 4314 §3.7). */
export interface GrantableRights {
  /** It always has these. */
  readonly required: string
  /** Each can be given or not; rights that stand together go together. */
  readonly optional: readonly string[]
}

/** `set` replaces what the identifier has, the others change it. */
export type AclChange = { readonly set: string } | { readonly add: string } | { readonly remove: string }

function command(core: SessionCore, name: string, mailbox: string, more: readonly CommandPart[] = []) {
  core.need('ACL', 'tell who may use a mailbox')
  return { name, parts: [`${name} `, core.mailbox(mailbox), ...more.flatMap((part) => [' ', part])] }
}

/** The one response of a kind, in answer to a command; undefined when there was none. */
async function answer<K extends UntaggedResponse['kind']>(
  core: SessionCore,
  request: ReturnType<typeof command>,
  kind: K,
  signal: AbortSignal | undefined,
): Promise<Extract<UntaggedResponse, { kind: K }> | undefined> {
  const { results } = await core.collect(
    request,
    (response) => (response.kind === kind ? (response as Extract<UntaggedResponse, { kind: K }>) : undefined),
    signal,
  )
  return results.at(-1)
}

/** Identifier → rights. */
export async function acl(
  core: SessionCore,
  mailbox: string,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  return (await answer(core, command(core, 'GETACL', mailbox), 'acl', signal))?.rights ?? new Map()
}

/** Undefined removes the entry. */
export async function setAcl(
  core: SessionCore,
  mailbox: string,
  identifier: string,
  change: AclChange | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const who = core.string(identifier)
  if (change === undefined) {
    await core.run(command(core, 'DELETEACL', mailbox, [who]), signal)
    return
  }
  const rights = 'set' in change ? change.set : 'add' in change ? `+${change.add}` : `-${change.remove}`
  await core.run(command(core, 'SETACL', mailbox, [who, core.string(rights)]), signal)
}

/** What can be given to `identifier`. */
export async function grantable(
  core: SessionCore,
  mailbox: string,
  identifier: string,
  signal: AbortSignal | undefined,
): Promise<GrantableRights> {
  const request = command(core, 'LISTRIGHTS', mailbox, [core.string(identifier)])
  const { required = '', optional = [] } = (await answer(core, request, 'list-rights', signal)) ?? {}
  return { required, optional }
}

/** What this user may do. */
export async function myRights(core: SessionCore, mailbox: string, signal?: AbortSignal): Promise<string> {
  return (await answer(core, command(core, 'MYRIGHTS', mailbox), 'my-rights', signal))?.rights ?? ''
}
