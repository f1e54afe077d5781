// What accounts may do: named permissions, and the roles that have them.

import * as v from 'valibot'
import { nearest } from '../kernel/nearest.ts'

/** What features ask for, by name. */
export const PERMISSIONS = {
  administer: 'runs administration commands',
  'administer-nodes': 'owns every node of publish-subscribe services',
  'administer-rooms': 'owns every room, and is not bound by what rooms may be',
  'chat-elsewhere': 'writes to people of other servers; a guest without it is not reached by them either',
  'create-nodes': 'makes nodes of publish-subscribe services, where accounts may',
  'create-rooms': 'makes rooms, where local accounts may',
  'invite-accounts': 'lets others make accounts and set new passwords',
  'invite-contacts': 'lets others become contacts',
  'mail-elsewhere': 'sends mail to other domains',
  'manage-own': 'looks after its own files, and after what was held of strangers, by commands',
  'upload-files': 'shares files',
} as const

/** `command:` and the node of a command (XEP-0050) goes before what the command asks for otherwise. */
export type Permission = keyof typeof PERMISSIONS | `command:${string}`

interface RoleRules {
  /** The role that it begins with. */
  readonly inherits?: string | undefined
  readonly allow: readonly Permission[]
  readonly deny: readonly Permission[]
}

const OF_LIMITED = ['chat-elsewhere', 'create-rooms', 'manage-own'] as const
const OF_USERS = [...OF_LIMITED, 'create-nodes', 'invite-contacts', 'mail-elsewhere', 'upload-files'] as const

/** None inherits another one: what the config changes of one is no matter of the others. */
const BUILT_IN: Readonly<Record<string, readonly Permission[]>> = {
  guest: ['manage-own'],
  limited: OF_LIMITED,
  user: OF_USERS,
  admin: [...OF_USERS, 'administer', 'administer-nodes', 'administer-rooms', 'invite-accounts'],
}

/** The role of accounts that are there for one session only (XEP-0175); no other account can have it. */
export const GUEST = 'guest'

const isPermission = (text: string): text is Permission =>
  Object.hasOwn(PERMISSIONS, text) || (text.startsWith('command:') && text.length > 'command:'.length)

const permissions = (text: string) =>
  v.optional(
    v.pipe(
      v.array(
        v.pipe(
          v.string(),
          v.check(isPermission, ({ input }) => {
            const known = [...Object.keys(PERMISSIONS), 'command:NODE']
            const near = nearest(input, known)
            return `there is no permission '${input.slice(0, 100)}'; ${near === undefined ? `there are ${known.join(', ')}` : `did you mean '${near}'?`}`
          }),
          v.transform((input) => input as Permission),
        ),
      ),
      v.description(text),
    ),
    [],
  )

const roleRules = v.strictObject({
  inherits: v.optional(
    v.pipe(
      v.string(),
      v.description(
        'the role that it begins with: `user` if not set; not to be set for `guest`, `limited`, `user` and `admin`',
      ),
    ),
  ),
  allow: permissions(
    `what accounts of the role may do beyond that: ${Object.entries(PERMISSIONS)
      .map(([name, what]) => `\`${name}\` (${what})`)
      .join(', ')}, \`command:\` and the node of a command`,
  ),
  deny: permissions('what they may not do'),
})

/** The part `roles` of the config. */
export const rolesConfig = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected a name of small letters, digits and hyphens')),
    roleRules,
  ),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    const written = dataset.value
    const complain = (name: string, message: string): void =>
      addIssue({
        message,
        path: [{ type: 'object', origin: 'value', input: written, key: name, value: written[name] }],
      })
    for (const [name, { inherits }] of Object.entries(written)) {
      if (inherits === undefined) continue
      if (Object.hasOwn(BUILT_IN, name))
        complain(name, `what ${name} begins with cannot be changed: allow and deny can`)
      else if (!Object.hasOwn(BUILT_IN, inherits) && !Object.hasOwn(written, inherits)) {
        const near = nearest(inherits, [...Object.keys(BUILT_IN), ...Object.keys(written)])
        complain(
          name,
          `there is no role '${inherits.slice(0, 100)}'${near === undefined ? '' : `; did you mean '${near}'?`}`,
        )
      } else if (inherits === GUEST) complain(name, 'accounts cannot be guests: let it inherit limited, and deny')
      else if (isCircle(name, written)) complain(name, `${name} inherits itself`)
    }
  }),
  v.description('roles of your own, and what the four that there are may do otherwise'),
)
export type RolesConfig = v.InferOutput<typeof rolesConfig>

function isCircle(
  name: string,
  written: Readonly<Record<string, { readonly inherits?: string | undefined }>>,
): boolean {
  const seen = new Set<string>()
  for (let at: string | undefined = name; at !== undefined && !seen.has(at); at = written[at]?.inherits) {
    seen.add(at)
    if (written[at]?.inherits === name) return true
  }
  return false
}

/** The roles of one generation. */
export class Roles {
  readonly #roles = new Map<string, ReadonlyMap<Permission, boolean>>()

  constructor(config: RolesConfig = {}) {
    const rules = new Map<string, RoleRules>()
    for (const [name, allow] of Object.entries(BUILT_IN)) rules.set(name, { allow, deny: [] })
    for (const [name, { inherits = 'user', allow, deny }] of Object.entries(config)) {
      const builtIn = BUILT_IN[name]
      if (builtIn === undefined) rules.set(name, { inherits, allow, deny })
      else rules.set(name, { allow: [...builtIn, ...allow], deny })
    }
    for (const name of rules.keys()) this.#roles.set(name, decisions(name, rules))
  }

  /** Those that accounts can have. */
  get assignable(): readonly string[] {
    return [...this.#roles.keys()].filter((name) => name !== GUEST)
  }

  /** All that a role may do, by name; `-` before those that it is denied. */
  described(name: string): readonly string[] {
    const decided = [...(this.#roles.get(name) ?? [])].sort(([one], [other]) => (one < other ? -1 : 1))
    return decided.map(([permission, allowed]) => (allowed ? permission : `-${permission}`))
  }

  /** Throws a RangeError, which says why, unless somebody who is not known yet may be given the role: by an invitation, or by registering himself. */
  mustBeHarmless(name: string): void {
    if (!this.assignable.includes(name))
      throw new RangeError(`'${name.slice(0, 100)}' is not a role: there are ${this.assignable.join(', ')}`)
    if (this.may(name, 'administer')) throw new RangeError(`accounts of the role ${name} may administer the server`)
  }

  /**
   * True where the role has the first of the permissions that it says anything about. A role that the config does not name any more may do what a guest may.
   */
  may(role: string, ...permissions: readonly Permission[]): boolean {
    const decided = this.#roles.get(role) ?? this.#roles.get(GUEST)
    for (const permission of permissions) {
      const decision = decided?.get(permission)
      if (decision !== undefined) return decision
    }
    return false
  }
}

/** What a role says of each permission: itself first, then those that it inherits. */
function decisions(name: string, rules: ReadonlyMap<string, RoleRules>): ReadonlyMap<Permission, boolean> {
  const decided = new Map<Permission, boolean>()
  for (let role = rules.get(name); role !== undefined; role = rules.get(role.inherits ?? '')) {
    for (const permission of role.deny) if (!decided.has(permission)) decided.set(permission, false)
    for (const permission of role.allow) if (!decided.has(permission)) decided.set(permission, true)
  }
  return decided
}
