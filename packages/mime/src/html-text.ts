// HTML as the text that a person sees. Enough of HTML 5 §13.2 for that; the result is text for searching and previews, not safe HTML.

import { decodeEntities } from './html-entities.ts'

/** Elements with a line of their own (HTML 5 §15.3), and those that stand apart as a box in a line does. */
const APART: ReadonlySet<string> = new Set(
  (
    'address article aside audio blockquote body br button canvas caption center col colgroup dd details dialog dir div dl dt embed fieldset ' +
    'figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 header hgroup hr html iframe img input legend li listing main map menu nav ' +
    'object ol optgroup option p pre search section select summary table tbody textarea tfoot thead title tr ul video xmp'
  ).split(' '),
)
/** Cells of one row: read as words of one line. */
const CELLS: ReadonlySet<string> = new Set(['td', 'th'])
/** Elements whose content nobody sees; all but `template` hold text without tags (HTML 5 §13.2.6.2). */
const HIDDEN: ReadonlySet<string> = new Set(['script', 'style', 'title', 'template', 'noembed', 'noframes', 'iframe'])

const GREATER = 0x3e
const SLASH = 0x2f
const EQUALS = 0x3d

/**
 * The text of an HTML document without tags, comments, scripts, styles and titles, its character references resolved. Block elements are set apart by a
 * line feed, cells of a table by a space, other elements by nothing; white space of the source, no-break spaces too, becomes one space. What CSS hides is text here. Takes
 * time linear in the length, whatever it is.
 */
export function visibleText(html: string): string {
  let out = ''
  let at = 0
  const text = (from: number, to: number): void => {
    if (to > from) out += decodeEntities(html.slice(from, to)).replace(/\s+/g, ' ')
  }
  for (;;) {
    const tag = html.indexOf('<', at)
    if (tag < 0) {
      text(at, html.length)
      break
    }
    const closing = html.charCodeAt(tag + 1) === SLASH
    const nameStart = closing ? tag + 2 : tag + 1
    if (!isLetter(html.charCodeAt(nameStart))) {
      const next = html[tag + 1]
      if (next !== '!' && next !== '?' && next !== '/') {
        // A less-than sign that begins nothing is one.
        text(at, tag + 1)
        at = tag + 1
        continue
      }
      text(at, tag)
      at = afterMarkup(html, tag)
      continue
    }
    text(at, tag)
    const nameEnd = endOfName(html, nameStart)
    const name = html.slice(nameStart, nameEnd).toLowerCase()
    if (APART.has(name)) out += '\n'
    else if (CELLS.has(name)) out += ' '
    at = afterTag(html, nameEnd)
    if (!closing && HIDDEN.has(name)) at = afterElement(html, name, at)
  }
  return out
    .replace(/ {2,}/g, ' ')
    .replace(/ ?\n[ \n]*/g, '\n')
    .trim()
}

const isLetter = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d)

/** Where a tag's name ends: at white space, `/`, `>` or the end. Longer names than any element's are not looked at. */
function endOfName(html: string, from: number): number {
  let at = from
  for (; at < html.length; at++) {
    const code = html.charCodeAt(at)
    if (code === GREATER || code === SLASH || isSpace(code)) break
  }
  return at
}

/** The place after the `>` that ends a tag; one in a quoted value does not. A tag that never ends hides the rest, as in browsers. */
function afterTag(html: string, from: number): number {
  let valueMayBegin = false
  for (let at = from; at < html.length; at++) {
    const code = html.charCodeAt(at)
    if (code === GREATER) return at + 1
    if (code === EQUALS) valueMayBegin = true
    else if ((code === 0x22 || code === 0x27) && valueMayBegin) {
      at = html.indexOf(code === 0x22 ? '"' : "'", at + 1)
      if (at < 0) return html.length
      valueMayBegin = false
    } else if (!isSpace(code)) valueMayBegin = false
  }
  return html.length
}

/** The place after a comment, a declaration or what browsers take for a comment. */
function afterMarkup(html: string, from: number): number {
  if (!html.startsWith('<!--', from)) return after(html, '>', from)
  // HTML 5 §13.2.5.43: `<!-->` and `<!--->` are whole comments.
  if (html.startsWith('>', from + 4)) return from + 5
  if (html.startsWith('->', from + 4)) return from + 6
  return after(html, '-->', from + 4)
}

function after(html: string, mark: string, from: number): number {
  const at = html.indexOf(mark, from)
  return at < 0 ? html.length : at + mark.length
}

/** The place after the end tag of an element that holds nothing to see; without one, the rest is its content. */
function afterElement(html: string, name: string, from: number): number {
  const pattern = new RegExp(`</${name}(?=[\\s/>])`, 'gi')
  pattern.lastIndex = from
  const match = pattern.exec(html)
  return match === null ? html.length : afterTag(html, match.index + match[0].length)
}
