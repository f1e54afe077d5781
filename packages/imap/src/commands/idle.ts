// RFC 9051 §6.3.13 IDLE (RFC 2177)

import { defineCommand } from '../server/command.ts'
import { bad } from '../wire/errors.ts'
import { StreamClosed } from '../wire/response-stream.ts'

export const idle = defineCommand({
  name: 'IDLE',
  state: 'authenticated',
  async execute(session) {
    session.out.text('+ idling\r\n')
    // News are told one round at a time; what comes in between makes one more round.
    let telling: Promise<void> | undefined
    let more = false
    const tell = (): void => {
      if (telling !== undefined) {
        more = true
        return
      }
      // A client that idles without reading is not told more than its socket takes.
      telling = session.out
        .room()
        .then(() => session.tellNews(true, false))
        .catch((error: unknown) => {
          if (!(error instanceof StreamClosed)) session.options.log?.('defect', { error })
        })
        .finally(() => {
          telling = undefined
          if (!more) return
          more = false
          tell()
        })
    }
    session.onNews = tell
    tell()
    try {
      await done(session.readLine())
    } finally {
      session.onNews = undefined
      more = false
      await telling
    }
    return {}
  },
})

async function done(line: Promise<Uint8Array>): Promise<void> {
  const text = Buffer.from(await line).toString('latin1')
  if (text.toUpperCase() !== 'DONE') throw bad('IDLE is ended by DONE')
}
