// RFC 5267 §4.3.5 CANCELUPDATE

import { defineCommand } from '../server/command.ts'
import { bad } from '../wire/errors.ts'

export const cancelUpdate = defineCommand({
  name: 'CANCELUPDATE',
  state: 'selected',
  parse(parser) {
    const tags: string[] = []
    do {
      parser.space()
      tags.push(Buffer.from(parser.string()).toString('latin1'))
    } while (!parser.atEnd)
    return tags
  },
  async execute({ view }, tags) {
    const unknown = tags.find((tag) => view.contexts?.has(tag) !== true)
    if (unknown !== undefined) throw bad(`No search with the tag ${unknown.slice(0, 40)} is updated`)
    for (const tag of tags) view.contexts?.cancel(tag)
  },
})
