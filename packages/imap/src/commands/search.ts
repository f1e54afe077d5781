// RFC 9051 §6.4.4 SEARCH, UID SEARCH, with RETURN of ESEARCH (RFC 4731), SEARCHRES (RFC 5182), CONTEXT=SEARCH (RFC 5267), SEARCH=FUZZY (RFC 6203), PARTIAL (RFC 9394) and MESSAGELIMIT (RFC 9738)

import { answerSearch, parseSearchArguments } from '../search/request.ts'
import { defineCommand } from '../server/command.ts'

const define = (uid: boolean) =>
  defineCommand({
    name: uid ? 'UID SEARCH' : 'SEARCH',
    state: 'selected',
    news: uid ? 'uid' : 'no-expunge',
    withUid: uid,
    parse(parser) {
      parser.space()
      return parseSearchArguments(parser)
    },
    execute: (session, args, tag) => answerSearch(session, tag, uid, args),
  })

export const search = define(false)
export const uidSearch = define(true)
