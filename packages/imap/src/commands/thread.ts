// RFC 5256 §3 THREAD, UID THREAD: ORDEREDSUBJECT, REFERENCES, and REFS (draft-ietf-morg-inthread)

import { parseCharset, parseSearchKeys } from '../search/keys.ts'
import { tooMany } from '../search/limit.ts'
import { Progress } from '../search/pace.ts'
import { checkRequest, find, newsOf, orRefusal, type SearchRequest } from '../search/request.ts'
import { targetOfView } from '../search/target.ts'
import { defineCommand } from '../server/command.ts'
import { forestText } from '../thread/forest.ts'
import { pickWhole } from '../sort/align.ts'
import { ALGORITHMS, threadPositions } from '../thread/run.ts'
import { bad, CommandError } from '../wire/errors.ts'

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID THREAD' : 'THREAD',
    state: 'selected',
    news: uid ? 'uid' : 'no-expunge',
    withUid: uid,
    parse(parser) {
      parser.space()
      const name = parser.word()
      const algorithm = ALGORITHMS.find((one) => one === name)
      if (algorithm === undefined) throw bad(`THREAD knows ${ALGORITHMS.join(', ')}`)
      parser.space()
      const request = orRefusal(parser, (): SearchRequest => {
        const charset = parseCharset(parser) !== 'UTF-8'
        parser.space()
        return { key: parseSearchKeys(parser), charset, program: undefined }
      })
      return { algorithm, request }
    },
    async execute(session, { algorithm, request }, tag) {
      if (request instanceof CommandError) throw request
      checkRequest(session, request, undefined)
      const { out } = session
      const target = targetOfView(session.view)
      const { messageLimit } = session.limits
      // RFC 9738 §3.3: the whole mailbox counts, whatever is searched for: threads are made of all of it.
      if (messageLimit !== undefined && target.count > messageLimit) throw tooMany(messageLimit)
      const progress = new Progress(session, tag)
      const { positions } = await find(session, target, request, undefined, progress)
      progress.begin(undefined)
      const laidOut = await threadPositions(target, positions, algorithm, progress)
      const numbers = uid ? pickWhole(target.rows.uids, positions) : positions.map((position) => position + 1)
      out.text(positions.length === 0 ? '* THREAD' : '* THREAD ')
      for (const piece of forestText(laidOut, numbers)) {
        out.text(piece)
        if (session.winded) await session.breathe()
      }
      out.text('\r\n')
      return newsOf(request)
    },
  })

export const thread = define(false)
export const uidThread = define(true)
