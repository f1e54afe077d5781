// RFC 9110 §14: a part of a file

/** Octets [start, end). */
export interface Part {
  readonly start: number
  readonly end: number
}

/**
 * Which part a `Range` asks for. Undefined: the whole, as there is none, or it is not one that we serve (several parts, other units), which RFC 9110 §14.2 allows to ignore.
 */
export function partOf(range: string | undefined, size: number): Part | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(range?.trim() ?? '')
  if (match === null) return undefined
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return undefined
    const suffix = Number(last)
    if (suffix === 0 || size === 0) return 'unsatisfiable'
    return { start: Math.max(0, size - suffix), end: size }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size : Math.min(size, Number(last) + 1) }
}
