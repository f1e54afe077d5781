// The config as it is written: YAML files with includes, environment and file secrets, and the place of every value.

import { globSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, type Node, type ParsedNode, parseDocument } from 'yaml'
import type { Path } from './validate.ts'

/** A place in a file; lines and columns count from 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Something wrong with the config, in words for the administrator. */
export interface ConfigProblem extends Partial<Place> {
  readonly message: string
}

/** A config that was read: its plain value, and where each part of it stands. */
export interface Source {
  readonly value: unknown
  readonly problems: readonly ConfigProblem[]
  /** Where the value (or, with `key`, its key) at `path` stands; for a missing one: the nearest thing around it. */
  locate(path: Path, key?: boolean): Partial<Place> | undefined
}

export interface Secrets {
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** Reads `file` and what it includes. Never throws for what an administrator wrote: that is in `problems`. */
export function readConfig(file: string, secrets: Secrets): Source {
  const reader = new Reader(secrets)
  const value = reader.file(resolve(file), [])
  return { value, problems: reader.problems, locate: (path, key) => reader.locate(path, key ?? false) }
}

const INCLUDE_DEPTH = 8

class Reader {
  readonly problems: ConfigProblem[] = []
  readonly #secrets: Secrets
  /** By path, joined: the place of the value and of the key. */
  readonly #places = new Map<string, { value: Place; key: Place }>()

  constructor(secrets: Secrets) {
    this.#secrets = secrets
  }

  file(file: string, chain: readonly string[]): unknown {
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (error) {
      this.problems.push({ file, message: `cannot be read: ${(error as Error).message}` })
      return undefined
    }
    const lines = new LineCounter()
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
    const at = (offset: number): Place => {
      const { line, col } = lines.linePos(offset)
      return { file, line, column: col }
    }
    for (const error of [...document.errors, ...document.warnings])
      this.problems.push({ ...at(error.pos[0]), message: error.message })
    if (document.errors.length > 0) return undefined
    const value =
      this.#plain(document.contents as ParsedNode | null, [], at, (node) =>
        isAlias(node) ? node.resolve(document) : undefined,
      ) ?? {}
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.problems.push({ file, line: 1, column: 1, message: 'expected a map of settings' })
      return undefined
    }
    return this.#include(value as Record<string, unknown>, file, [...chain, file])
  }

  locate(path: Path, key: boolean): Place | undefined {
    for (let length = path.length; length >= 0; length--) {
      const places = this.#places.get(joined(path.slice(0, length)))
      if (places !== undefined)
        return key && length === path.length ? places.key : length === path.length ? places.value : places.key
    }
    return undefined
  }

  /** Merges the files that `include:` names, in the order of their names; a setting may stand in one file only. */
  #include(value: Record<string, unknown>, file: string, chain: readonly string[]): unknown {
    const { include, ...own } = value
    if (include === undefined) return own
    const place = this.#places.get('include')?.value ?? { file, line: 1, column: 1 }
    const patterns = Array.isArray(include) ? include : [include]
    for (const pattern of patterns) {
      if (typeof pattern !== 'string') {
        this.problems.push({ ...place, message: 'include: expected a file name or pattern, or a list of them' })
        continue
      }
      const files = globSync(pattern, { cwd: dirname(file) }).sort()
      if (files.length === 0 && !/[*?[{]/.test(pattern))
        this.problems.push({ ...place, message: `include: there is no file ${pattern}` })
      for (const name of files) {
        const path = resolve(dirname(file), name)
        if (chain.includes(path) || chain.length > INCLUDE_DEPTH) {
          this.problems.push({ ...place, message: `include: ${name} includes itself` })
          continue
        }
        const before = new Map(this.#places)
        const inner = this.file(path, chain)
        this.#merge(own, inner as Record<string, unknown> | undefined, [], before)
      }
    }
    return own
  }

  #merge(
    into: Record<string, unknown>,
    from: Record<string, unknown> | undefined,
    path: Path,
    before: ReadonlyMap<string, { value: Place }>,
  ): void {
    for (const [key, value] of Object.entries(from ?? {})) {
      const here = [...path, key]
      const old = into[key]
      if (old === undefined) into[key] = value
      else if (isPlainMap(old) && isPlainMap(value)) this.#merge(old, value, here, before)
      else if (Array.isArray(old) && Array.isArray(value)) old.push(...value)
      else {
        const first = before.get(joined(here))?.value
        this.problems.push({
          ...this.locate(here, true),
          message: `'${key}' is set already${first === undefined ? '' : ` in ${first.file}:${first.line}`}`,
        })
      }
    }
  }

  #plain(
    node: Node | null | undefined,
    path: Path,
    at: (offset: number) => Place,
    follow: (node: Node) => Node | undefined,
    key?: Place,
  ): unknown {
    if (node === null || node === undefined) return undefined
    const place = at(node.range?.[0] ?? 0)
    this.#places.set(joined(path), { value: place, key: key ?? place })
    if (isAlias(node)) return this.#plain(follow(node), path, at, () => undefined, key)
    if (isScalar(node)) return typeof node.value === 'string' ? this.#filled(node.value, place) : node.value
    if (isSeq(node)) return node.items.map((item, index) => this.#plain(item as Node, [...path, index], at, follow))
    if (!isMap(node)) return undefined
    const map: Record<string, unknown> = {}
    for (const pair of node.items) {
      if (!isPair(pair) || !isScalar(pair.key)) continue
      const name = String(pair.key.value)
      if (name === '__proto__') continue
      const value = this.#plain(
        pair.value as Node | null,
        [...path, name],
        at,
        follow,
        at((pair.key as Node).range?.[0] ?? 0),
      )
      map[name] = value === undefined ? null : value
    }
    return map
  }

  /** `${NAME}`, `${NAME:-default}` and `${file:/path}` in a value; `$${` is a plain `${`. An unset variable is an error, never an empty string. */
  #filled(text: string, place: Place): string {
    return text.replaceAll(/\$\$\{|\$\{([^}]*)\}/g, (whole, expression: string | undefined) => {
      if (expression === undefined) return '${'
      if (expression.startsWith('file:')) {
        const path = resolve(dirname(place.file), expression.slice('file:'.length))
        try {
          return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
        } catch (error) {
          this.problems.push({ ...place, message: `${whole}: cannot be read: ${(error as Error).message}` })
          return ''
        }
      }
      const [name = '', fallback] = expression.split(/:-(.*)/s)
      const value = this.#secrets.environment[name] ?? fallback
      if (value === undefined)
        this.problems.push({
          ...place,
          message: `the environment variable ${name} is not set (write \${${name}:-something} for a default)`,
        })
      return value ?? ''
    })
  }
}

const isPlainMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const joined = (path: Path): string => path.join('\0')
