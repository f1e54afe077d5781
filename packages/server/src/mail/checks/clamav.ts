// ClamAV: asks clamd whether a mail holds a known virus (clamd(8), INSTREAM)

import * as v from 'valibot'
import { duration, size } from '../../kernel/units.ts'
import { accept, mailCheck, type Message, type Verdict } from '../pipeline/contracts.ts'
import { action, carryOut } from './action.ts'
import { parseProgramAddress, programAddress, Wire } from './wire.ts'

/** Octets of one piece; clamd takes each into its memory. */
const PIECE = 64 * 1024
const MAX_ANSWER = 4096

export const clamav = mailCheck({
  name: 'clamav',
  summary: 'Lets ClamAV (clamd) look for viruses.',
  config: v.strictObject({
    address: v.optional(
      programAddress('where clamd listens: unix:/path, host:port or [address]:port'),
      'unix:/var/run/clamav/clamd.ctl',
    ),
    virus: action('reject', 'a virus was found'),
    failure: action('defer', 'clamd cannot be asked, or cannot look into the mail'),
    'max-size': v.pipe(
      size('25MiB'),
      v.description('mail larger than this is not shown to clamd, and passes; its StreamMaxLength must not be less'),
    ),
    timeout: v.pipe(
      duration('60s'),
      v.minValue(1),
      v.description('how long connecting, sending a piece, and the answer may take'),
    ),
  }),

  create(config, scope) {
    const address = parseProgramAddress(config.address)
    if (address === undefined) throw new Error(`'${config.address}' is no address`)
    return {
      external: true,
      // Longer than each of its steps: what went wrong is said by the step that it went wrong in.
      patience: 3 * config.timeout,
      async content(_mail, message): Promise<Verdict> {
        if (message.size > config['max-size']) return accept('too large to be looked at')
        let answer: string
        try {
          const wire = await Wire.connect(address, scope.clock, config.timeout)
          try {
            answer = await scan(wire, message)
          } finally {
            wire.destroy()
          }
        } catch (error) {
          answer = `${error instanceof Error ? error.message : String(error)} ERROR`
        }
        if (answer.endsWith(' OK')) return accept('clean')
        const found = / (\S+) FOUND$/.exec(answer)?.[1]
        if (found !== undefined)
          return carryOut(
            config.virus,
            { reject: [554, '5.7.0'], defer: [451, '4.7.0'], text: `The mail holds a virus: ${found.slice(0, 100)}` },
            found,
          )
        scope.log.error({ answer: answer.slice(0, 200) }, 'clamd could not look into a mail')
        return carryOut(
          config.failure,
          { reject: [554, '5.7.0'], defer: [451, '4.7.1'], text: 'The mail cannot be checked for viruses now' },
          answer.slice(0, 200),
        )
      },
    }
  },
})

/** Sends the message and resolves with what clamd says: `stream: OK`, `stream: NAME FOUND`, or what went wrong. */
async function scan(wire: Wire, message: Message): Promise<string> {
  await wire.write(Buffer.from('zINSTREAM\0'))
  for await (const chunk of message.chunks())
    for (let at = 0; at < chunk.byteLength; at += PIECE) {
      const piece = chunk.subarray(at, at + PIECE)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(piece.byteLength)
      await wire.write(length)
      await wire.write(piece)
    }
  await wire.write(Buffer.alloc(4))
  const answer = await wire.readUntil(0, MAX_ANSWER)
  return answer
    .toString('utf8')
    .replace(/[^ -~]/g, '?')
    .trim()
}
