// The forms in which a password is kept, as lines of text: SCRAM keys (RFC 5802, written as in RFC 5803) and argon2id (RFC 9106, as a PHC string).

import { argon2, createHmac, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { deriveScram, LEAST_ITERATIONS, MOST_ITERATIONS, type ScramHash, type ScramKeys } from '@aviso/sasl'
import type { Random } from '../kernel/random.ts'
import type { AuthConfig, Form } from './config.ts'
import type { CredentialTexts } from './operations/accounts.ts'

const argon2Async = promisify(argon2)

export type ScramForm = 'SCRAM-SHA-512' | 'SCRAM-SHA-256' | 'SCRAM-SHA-1'

const OCTETS: Readonly<Record<ScramForm, number>> = { 'SCRAM-SHA-512': 64, 'SCRAM-SHA-256': 32, 'SCRAM-SHA-1': 20 }

export const HASHES: Readonly<Record<ScramForm, ScramHash>> = {
  'SCRAM-SHA-512': 'SHA-512',
  'SCRAM-SHA-256': 'SHA-256',
  'SCRAM-SHA-1': 'SHA-1',
}

export type PasswordSettings = AuthConfig['passwords']

/** RFC 5803 §2. */
export function formatScram(form: ScramForm, keys: ScramKeys): string {
  return `${form}$${keys.iterations}:${base64(keys.salt)}$${base64(keys.storedKey)}:${base64(keys.serverKey)}`
}

const SCRAM =
  /^(SCRAM-SHA-512|SCRAM-SHA-256|SCRAM-SHA-1)\$(\d{1,7}):([A-Za-z0-9+/=]{1,344})\$([A-Za-z0-9+/=]{28,88}):([A-Za-z0-9+/=]{28,88})$/

/** The keys of a stored line; undefined when it is not one of that form. */
export function parseScram(form: ScramForm, text: string): ScramKeys | undefined {
  const match = SCRAM.exec(text)
  if (match === null || match[1] !== form) return undefined
  const [, , iterations = '', salt = '', stored = '', server = ''] = match
  const keys: ScramKeys = {
    salt: Buffer.from(salt, 'base64'),
    iterations: Number(iterations),
    storedKey: Buffer.from(stored, 'base64'),
    serverKey: Buffer.from(server, 'base64'),
  }
  const sound =
    keys.iterations >= LEAST_ITERATIONS &&
    keys.iterations <= MOST_ITERATIONS &&
    keys.salt.length > 0 &&
    keys.storedKey.length === OCTETS[form] &&
    keys.serverKey.length === OCTETS[form]
  return sound ? keys : undefined
}

async function hashArgon2id(password: string, salt: Uint8Array, settings: PasswordSettings): Promise<string> {
  const { memory, passes, parallelism } = settings.argon2
  const hash = await argon2Async('argon2id', {
    message: Buffer.from(password, 'utf8'),
    nonce: salt,
    memory,
    passes,
    parallelism,
    tagLength: 32,
  })
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`
}

const PHC = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})$/

/** What an imported line may ask of this machine: more would be a way to stop it. */
const MOST = { memory: 262_144, passes: 20, parallelism: 16 }

async function verifyArgon2id(password: string, text: string): Promise<boolean> {
  const match = PHC.exec(text)
  if (match === null) return false
  const [memory, passes, parallelism] = [Number(match[1]), Number(match[2]), Number(match[3])]
  if (memory > MOST.memory || passes > MOST.passes || parallelism > MOST.parallelism || memory < 8 * parallelism)
    return false
  const expected = Buffer.from(match[5] ?? '', 'base64')
  const hash = await argon2Async('argon2id', {
    message: Buffer.from(password, 'utf8'),
    nonce: Buffer.from(match[4] ?? '', 'base64'),
    memory,
    passes: Math.max(1, passes),
    parallelism: Math.max(1, parallelism),
    tagLength: expected.length,
  })
  return timingSafeEqual(hash, expected)
}

/** One stored form made from the prepared password, with a fresh salt; the work is done in the thread pool. */
export async function deriveForm(
  form: Form,
  password: string,
  settings: PasswordSettings,
  random: Random,
): Promise<string> {
  const salt = random.bytes(16)
  if (form === 'argon2id') return hashArgon2id(password, salt, settings)
  const { iterations } = settings
  return formatScram(form, { salt, iterations, ...(await deriveScram(HASHES[form], password, salt, iterations)) })
}

/** The wanted forms of a new password. */
export async function deriveForms(
  forms: readonly Form[],
  password: string,
  settings: PasswordSettings,
  random: Random,
): Promise<CredentialTexts> {
  return Object.fromEntries(
    await Promise.all(forms.map(async (form) => [form, await deriveForm(form, password, settings, random)] as const)),
  )
}

/** The order in which forms are looked at. */
const PROVING = ['SCRAM-SHA-256', 'SCRAM-SHA-512', 'argon2id', 'SCRAM-SHA-1'] as const

/**
 * Tells which stored form proves the password; undefined when it is wrong. The cheap SCRAM-SHA-256 key goes first and its answer is final, since all forms
 * come from one password: a guesser who had the database would attack the cheapest form anyway, so a dearer check here would only cost the server.
 * argon2id decides where an administrator switched the SCRAM forms off or an import brought nothing else.
 */
export async function provingForm(password: string, stored: CredentialTexts): Promise<Form | undefined> {
  for (const form of PROVING) {
    const text = stored[form]
    if (text === undefined) continue
    return (await verifyForm(form, password, text)) ? form : undefined
  }
  return undefined
}

async function verifyForm(form: Form, password: string, text: string): Promise<boolean> {
  if (form === 'argon2id') return verifyArgon2id(password, text)
  const keys = parseScram(form, text)
  if (keys === undefined) return false
  const derived = await deriveScram(HASHES[form], password, keys.salt, keys.iterations)
  return timingSafeEqual(derived.storedKey, keys.storedKey)
}

/**
 * SCRAM keys for a name that nobody has: the same salt each time, so that asking twice does not tell (RFC 5802 §9), and keys that no password meets.
 * `name` is the address in its one spelling, as every spelling of a real name shows one salt too. `secret` is this server's own and outlives restarts.
 */
export function decoyScram(form: ScramForm, name: string, secret: Uint8Array, settings: PasswordSettings): ScramKeys {
  const hmac = OCTETS[form] > 32 ? 'sha512' : 'sha256'
  const part = (what: string): Buffer => createHmac(hmac, secret).update(`${what}\0${form}\0${name}`).digest()
  return {
    salt: part('salt').subarray(0, 16),
    iterations: settings.iterations,
    storedKey: part('stored').subarray(0, OCTETS[form]),
    serverKey: part('server').subarray(0, OCTETS[form]),
  }
}

/** Forms that no password meets and that cost as much as real ones to find that out: for names that nobody has. */
export function decoyForms(
  forms: readonly Form[],
  name: string,
  secret: Uint8Array,
  settings: PasswordSettings,
): CredentialTexts {
  // The one that `provingForm` would look at.
  const dearest = PROVING.find((form) => forms.includes(form)) ?? 'SCRAM-SHA-1'
  if (dearest !== 'argon2id') return { [dearest]: formatScram(dearest, decoyScram(dearest, name, secret, settings)) }
  const part = (what: string): string =>
    unpadded(createHmac('sha256', secret).update(`${what}\0argon2id\0${name}`).digest())
  const { memory, passes, parallelism } = settings.argon2
  return {
    argon2id: `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${part('salt').slice(0, 22)}$${part('hash')}`,
  }
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const unpadded = (bytes: Uint8Array): string => base64(bytes).replace(/=+$/, '')
