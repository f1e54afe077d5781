// From root to a user of its own, once everything that needs root is open.

import { constants, accessSync, existsSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import * as v from 'valibot'
import { StartError } from './start-error.ts'

const account = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, 'expected the name (or number) of a user or group of this machine'),
)

/** The settings `user`, `group` and `run-as-root`, for the top of the config file. */
export const privilegesConfig = {
  user: v.optional(
    v.pipe(
      account,
      v.description('the user that the server runs as after it has opened its ports; only where it is started as root'),
    ),
  ),
  group: v.optional(v.pipe(account, v.description("the group that the server runs as; the user's own if not set"))),
  'run-as-root': v.optional(
    v.pipe(v.boolean(), v.description('go on as root; a fault in the server then puts the whole machine at risk')),
    false,
  ),
} as const
const privilegesSchema = v.strictObject(privilegesConfig)
export type PrivilegesConfig = v.InferOutput<typeof privilegesSchema>

/** The part of the process that changes who it is: a test hands in its own. */
export interface Identity {
  getuid(): number
  umask(mask: number): void
  initgroups(user: string, group: string | number): void
  setgroups(groups: readonly number[]): void
  setgid(group: string | number): void
  setuid(user: string | number): void
  /** Throws an ErrnoException when the folder may not be written to. */
  checkWritable(folder: string): void
  exists(folder: string): boolean
  username(): string
  /** The primary group of a user (name or number); undefined where it is not known. */
  primaryGroup(user: string): number | undefined
}

const need = <F>(call: F | undefined): F => {
  if (call === undefined)
    throw new StartError('this platform has no users to change to: leave out the settings user and group.')
  return call
}

/** This process. */
export const processIdentity: Identity = {
  getuid: () => process.getuid?.() ?? -1,
  umask: (mask) => void process.umask(mask),
  // Missing in the types of Node, not in Node.
  initgroups: (user, group) =>
    need((process as { initgroups?: (user: string, group: string | number) => void }).initgroups)(user, group),
  setgroups: (groups) => need(process.setgroups)(groups),
  setgid: (group) => need(process.setgid)(group),
  setuid: (user) => need(process.setuid)(user),
  checkWritable: (folder) => accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK),
  exists: existsSync,
  username: () => userInfo().username,
  primaryGroup(user) {
    const entries = existsSync('/etc/passwd') ? readFileSync('/etc/passwd', 'utf8').split('\n') : []
    const group = entries.map((line) => line.split(':')).find(([name, , uid]) => name === user || uid === user)?.[3]
    return group === undefined ? undefined : Number(group)
  },
}

/**
 * Gives root up for the configured user and group, for good, after all listeners are open; sets the umask to 027; and makes sure that `dataFolder` can be written afterwards.
 * A process that is not root stays who it is. Throws a StartError when there is no such user, when the server would go on as root without being told to, or when the folder
 * cannot be written.
 */
export function dropPrivileges(
  config: PrivilegesConfig,
  dataFolder: string,
  identity: Identity = processIdentity,
): void {
  identity.umask(0o027)
  if (identity.getuid() === 0) {
    if (config.user !== undefined) become(config.user, config.group, identity)
    else if (!config['run-as-root']) {
      throw new StartError(
        'the server was started as root and has no other user to go on as. Make one (useradd --system --no-create-home aviso) and set user: aviso, or start it as that user, or set run-as-root: true (in a container, say).',
      )
    }
  } else if (config.user !== undefined && ![identity.username(), String(identity.getuid())].includes(config.user)) {
    throw new StartError(
      `the setting user is ${config.user}, but the server was started as ${identity.username()}, and only root can change to another user. Start it as ${config.user} or as root, or leave the setting out.`,
    )
  }
  mustBeWritable(dataFolder, identity)
}

/**
 * Until the returned function is called, a process that is root acts as the configured user: the files that it makes are that user's own. Root comes back to open ports, and goes
 * for good with `dropPrivileges`. Does nothing where the process is not root or no user is configured.
 */
export function actAs(config: PrivilegesConfig): () => void {
  if (process.getuid?.() !== 0 || config.user === undefined) return () => {}
  try {
    process.umask(0o027)
    process.setegid?.(groupOf(config.user, config.group, processIdentity))
    process.seteuid?.(numeric(config.user))
  } catch (error) {
    throw new StartError(
      `there is no user ${config.user} with a group ${config.group ?? config.user} on this machine. Make them with: useradd --system --user-group --no-create-home ${config.user}`,
      { cause: error },
    )
  }
  return () => {
    process.seteuid?.(0)
    process.setegid?.(0)
  }
}

const numeric = (name: string): string | number => (/^\d+$/.test(name) ? Number(name) : name)

/** The group that is configured, else the user's own, else the one of the same name. */
const groupOf = (user: string, group: string | undefined, identity: Identity): string | number =>
  group === undefined ? (identity.primaryGroup(user) ?? numeric(user)) : numeric(group)

function become(user: string, group: string | undefined, identity: Identity): void {
  const asUser = numeric(user)
  if (asUser === 0 || user === 'root')
    throw new StartError('the setting user is root. Name another user, or leave it out and set run-as-root: true.')
  const asGroup = groupOf(user, group, identity)
  try {
    // Groups first: they can only be changed as root.
    identity.setgid(asGroup)
    if (typeof asUser === 'number') identity.setgroups(typeof asGroup === 'number' ? [asGroup] : [])
    else identity.initgroups(asUser, asGroup)
    identity.setuid(asUser)
  } catch (error) {
    if (error instanceof StartError) throw error
    throw new StartError(
      `the server cannot go on as user ${user}, group ${asGroup} (${(error as Error).message}). Do both exist? Make them with: useradd --system --user-group --no-create-home ${user}`,
      { cause: error },
    )
  }
  if (identity.getuid() === 0)
    throw new StartError(`the server is still root after changing to the user ${user}: it will not go on.`)
}

function mustBeWritable(folder: string, identity: Identity): void {
  try {
    identity.checkWritable(folder)
  } catch (error) {
    const user = identity.username()
    const code = (error as NodeJS.ErrnoException).code
    const why =
      code === 'EROFS'
        ? 'is on a read-only file system. Mount it for writing, or choose another folder'
        : !identity.exists(folder)
          ? `does not exist, or the user ${user} may not look into the folders above it. Make it: install -d -m 750 -o ${user} ${folder}`
          : `may not be written by the user ${user}. Give it to that user: chown -R ${user} ${folder}`
    throw new StartError(`the data folder ${folder} ${why}.`, { cause: error })
  }
}
