// Drives a mechanism written as a generator: it yields challenges, receives responses and returns who has logged in.

import {
  type Failure,
  type FailureCondition,
  type Identity,
  SaslFailure,
  type ServerMechanism,
  type ServerStep,
} from './contract.ts'

/** No honest message comes near; tokens may be some kilobytes. */
export const MESSAGE_OCTETS = 65_536

export const EMPTY = new Uint8Array(0)

/** What a mechanism tells while it runs. */
export interface Attempt {
  /** Set as soon as the client has named itself. */
  authcid?: string
}

export interface Outcome {
  readonly identity: Identity
  readonly data?: Uint8Array
}

export type Exchange = AsyncGenerator<Uint8Array, Outcome, Uint8Array>

/** A server mechanism from a generator function. `SaslFailure` ends it with its condition, any other throw with temporary-auth-failure. */
export function serverExchange(
  name: ServerMechanism['name'],
  run: (initial: Uint8Array | undefined, attempt: Attempt) => Exchange,
): ServerMechanism {
  const attempt: Attempt = {}
  let exchange: Exchange | undefined
  let state: 'fresh' | 'waiting' | 'working' | 'over' = 'fresh'

  const fail = (condition: FailureCondition, text: string, cause?: unknown): Failure => {
    state = 'over'
    exchange = undefined
    return {
      kind: 'failure',
      condition,
      text,
      ...(attempt.authcid !== undefined && { authcid: attempt.authcid }),
      ...(cause !== undefined && { cause }),
    }
  }

  const step = async (message: Uint8Array | undefined, resume: () => Promise<IteratorResult<Uint8Array, Outcome>>) => {
    if (message && message.length > MESSAGE_OCTETS) return fail('malformed-request', 'The message is too long.')
    state = 'working'
    try {
      const result = await resume()
      // Aborted while the credential source was at work: whatever it says comes too late.
      if (exchange === undefined) return fail('aborted', 'Authentication was cancelled.')
      if (!result.done) {
        state = 'waiting'
        return { kind: 'challenge', data: result.value } satisfies ServerStep
      }
      state = 'over'
      exchange = undefined
      return { kind: 'success', ...result.value } satisfies ServerStep
    } catch (error) {
      if (exchange === undefined) return fail('aborted', 'Authentication was cancelled.')
      if (error instanceof SaslFailure) return fail(error.condition, error.message)
      return fail('temporary-auth-failure', 'Authentication is not possible right now. Please try again later.', error)
    }
  }

  return {
    name,
    async start(initial) {
      if (state !== 'fresh') return fail('malformed-request', 'The exchange has begun already.')
      const begun = run(initial, attempt)
      exchange = begun
      return step(initial, () => begun.next(EMPTY))
    },
    async next(response) {
      const running = exchange
      if (state !== 'waiting' || !running) return fail('malformed-request', 'No response was expected.')
      return step(response, () => running.next(response))
    },
    abort() {
      return fail('aborted', 'Authentication was cancelled.')
    },
  }
}
