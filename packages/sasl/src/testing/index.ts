// For tests of protocols: users in memory, and an exchange without a wire.

import {
  type ClientMechanism,
  type CredentialSource,
  deriveScram,
  LEAST_ITERATIONS,
  preparePassword,
  type ScramHash,
  type ScramKeys,
  type ServerMechanism,
  type ServerStep,
} from '../index.ts'

/** A credential source of users and their passwords. Salts are made from the names: for tests only. */
export function memoryCredentials(users: Readonly<Record<string, string>>): CredentialSource {
  const passwords = new Map(Object.entries(users))
  return {
    async scram(authcid: string, hash: ScramHash): Promise<ScramKeys | undefined> {
      const password = passwords.get(authcid)
      if (password === undefined) return undefined
      const salt = Buffer.from(`salt of ${authcid}`)
      return { salt, iterations: LEAST_ITERATIONS, ...(await deriveScram(hash, password, salt, LEAST_ITERATIONS)) }
    },
    async password(authcid, password) {
      const right = passwords.get(authcid)
      return right !== undefined && preparePassword(right) === password ? 'accepted' : 'not-authorized'
    },
  }
}

/** Runs an exchange to its end. `successData: 'challenge'` sends the additional data as SMTP and IMAP do. Rejects when the client does. */
export async function exchange(
  client: ClientMechanism,
  server: ServerMechanism,
  options: { readonly initialResponse?: boolean; readonly successData?: 'success' | 'challenge' } = {},
): Promise<ServerStep> {
  const initial = await client.start()
  const withInitial = options.initialResponse !== false
  let step = await server.start(withInitial ? initial : undefined)
  if (!withInitial && initial !== undefined && step.kind === 'challenge') step = await server.next(initial)
  while (step.kind === 'challenge') step = await server.next(await client.next(step.data))
  if (step.kind === 'success') {
    if (step.data && options.successData === 'challenge') {
      await client.next(step.data)
      await client.success()
    } else await client.success(step.data)
  }
  return step
}
