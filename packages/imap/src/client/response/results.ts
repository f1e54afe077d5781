// RFC 9051 §7.3.4, RFC 3501 §7.2.5, RFC 5256, RFC 9394: results of SEARCH, SORT and THREAD.

import { expandSet } from './numbers.ts'
import { ResponseFault, type Scanner, type Tree } from './scanner.ts'
import { isList, text } from './envelope.ts'
import type { EsearchResponse, SearchResponse, ThreadNode, UntaggedResponse } from './types.ts'

export function readSearch(scanner: Scanner, kind: SearchResponse['kind']): SearchResponse {
  const numbers: number[] = []
  let modseq: number | undefined
  while (scanner.more()) {
    if (scanner.peek() === '(') {
      // RFC 7162 §3.1.5: (MODSEQ n)
      const [, value] = scanner.list(() => scanner.atom())
      modseq = value === undefined ? undefined : Number(value)
    } else {
      const number = scanner.number()
      if (number !== undefined) numbers.push(number)
    }
  }
  return { kind, numbers, modseq: modseq !== undefined && Number.isSafeInteger(modseq) ? modseq : undefined }
}

export function readEsearch(scanner: Scanner): EsearchResponse {
  let tag: string | undefined
  let uid = false
  const returned = new Map<string, Tree>()
  while (scanner.more()) {
    if (scanner.peek() === '(') {
      const correlator = scanner.list(() => scanner.tree())
      for (let i = 0; i + 1 < correlator.length; i += 2) {
        if (/^tag$/i.test(text(correlator[i]) ?? '')) tag = text(correlator[i + 1])
      }
      continue
    }
    const name = scanner.atom().toUpperCase()
    if (name === 'UID' && returned.size === 0) uid = true
    else {
      scanner.space()
      returned.set(name, scanner.tree())
    }
  }
  const number = (name: string): number | undefined => {
    const value = returned.get(name)
    return typeof value === 'string' && /^\d+$/.test(value) && Number.isSafeInteger(Number(value))
      ? Number(value)
      : undefined
  }
  const all = returned.get('ALL')
  const partial = returned.get('PARTIAL')
  return {
    kind: 'esearch',
    tag,
    uid,
    all: typeof all === 'string' ? expandSet(all) : undefined,
    min: number('MIN'),
    max: number('MAX'),
    count: number('COUNT'),
    modseq: number('MODSEQ'),
    partial: isList(partial)
      ? {
          range: text(partial[0]) ?? '',
          numbers: typeof partial[1] === 'string' ? expandSet(partial[1]) : [],
        }
      : undefined,
  }
}

export function readThread(scanner: Scanner): UntaggedResponse {
  const threads: ThreadNode[] = []
  while (scanner.more()) {
    do threads.push(...chain(listOf(scanner.tree())))
    while (scanner.peek() === '(')
  }
  return { kind: 'thread', threads }
}

const listOf = (tree: Tree): readonly Tree[] => {
  if (!isList(tree)) throw new ResponseFault('a thread is a list')
  return tree
}

/** RFC 5256 §4: `3 6 (4 23)(44 7 96)`: each number is the answer to the one before it, each list an answer to the last of them. */
function chain(tree: readonly Tree[]): ThreadNode[] {
  const first = tree.findIndex((one) => isList(one))
  const numbers = (first < 0 ? tree : tree.slice(0, first)).map((one) => Number(text(one)))
  if (numbers.some((number) => !Number.isSafeInteger(number))) throw new ResponseFault('a thread holds numbers')
  let below: ThreadNode[] = first < 0 ? [] : tree.slice(first).flatMap((one) => chain(listOf(one)))
  if (numbers.length === 0) return below.length === 1 ? below : [{ number: undefined, children: below }]
  for (const number of numbers.reverse()) below = [{ number, children: below }]
  return below
}
