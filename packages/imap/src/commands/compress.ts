// RFC 4978 COMPRESS

import { defineCommand } from '../server/command.ts'
import { bad, no } from '../wire/errors.ts'

export const compress = defineCommand({
  name: 'COMPRESS',
  state: 'authenticated',
  news: 'none',
  parse(parser) {
    parser.space()
    return parser.word()
  },
  async execute(session, algorithm) {
    if (algorithm !== 'DEFLATE') throw bad('The only compression here is DEFLATE')
    if (session.compressed) throw no('DEFLATE is on already', 'COMPRESSIONACTIVE')
    // What was sent already may be compressed or not: nobody could tell.
    if (session.pipelined) throw bad('Nothing may follow COMPRESS before its answer')
    return { text: 'DEFLATE is on', after: () => session.compress() }
  },
})
