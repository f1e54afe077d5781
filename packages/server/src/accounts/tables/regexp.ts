// A table of one rule: what a regular expression fits

import * as v from 'valibot'
import { table } from './contracts.ts'
import { LinearRegExp, type Match } from './linear/match.ts'

export const regexpTable = table({
  name: 'regexp',
  summary:
    'Holds every key that a regular expression fits. Its time is bounded: backreferences and looking around are refused.',
  config: v.strictObject({
    pattern: v.pipe(v.string(), v.description('as in JavaScript, without backreferences and looking around')),
    replacement: v.optional(
      v.pipe(
        v.union([v.string(), v.array(v.string())]),
        v.description(
          'the value, or a list of values: $1, ${name} and $& are what matched, $$ is $; without it the value is empty',
        ),
      ),
    ),
    whole: v.optional(v.pipe(v.boolean(), v.description('the whole key must fit, not a part of it')), true),
    'ignore-case': v.optional(v.pipe(v.boolean(), v.description('A is a')), true),
    expand: v.optional(v.pipe(v.boolean(), v.description('$1 in a replacement is more than two characters')), true),
  }),

  create(config) {
    const expression = new LinearRegExp(config.pattern, { whole: config.whole, ignoreCase: config['ignore-case'] })
    const replacements = [config.replacement ?? []]
      .flat()
      .map((text) => (config.expand ? template(text, expression) : () => text))
    return {
      lookup(key) {
        const match = expression.match(key)
        if (match === undefined) return []
        return replacements.length === 0 ? [''] : replacements.map((fill) => fill(match))
      },
    }
  },
})

const REFERENCE = /\$(?:(\$|&)|(\d{1,2})|\{(\w{1,32})\})/g

/** Throws SyntaxError for a reference to a group that is not there. */
function template(text: string, { groups, names }: LinearRegExp): (match: Match) => string {
  const parts: (string | number)[] = []
  let from = 0
  for (const found of text.matchAll(REFERENCE)) {
    const [whole, sign, digits, name = ''] = found
    parts.push(text.slice(from, found.index))
    from = found.index + whole.length
    if (sign === '$') parts.push('$')
    else {
      const index = sign === '&' ? 0 : digits === undefined ? (names.get(name) ?? Number(name)) : Number(digits)
      if (!Number.isInteger(index) || index > groups)
        throw new SyntaxError(`the replacement '${text}' speaks of ${whole}, and the pattern has no such group`)
      parts.push(index)
    }
  }
  parts.push(text.slice(from))
  return (match) => parts.map((part) => (typeof part === 'number' ? (match[part] ?? '') : part)).join('')
}
