// RFC 5256 §3 SORT, UID SORT, with SORT=DISPLAY (RFC 5957), and RETURN of ESORT and CONTEXT=SORT (RFC 5267)

import { answerSearch, parseSortArguments } from '../search/request.ts'
import { defineCommand } from '../server/command.ts'

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID SORT' : 'SORT',
    state: 'selected',
    news: uid ? 'uid' : 'no-expunge',
    withUid: uid,
    parse(parser) {
      parser.space()
      return parseSortArguments(parser)
    },
    execute: (session, args, tag) => answerSearch(session, tag, uid, args),
  })

export const sort = define(false)
export const uidSort = define(true)
