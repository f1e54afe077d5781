// Durations and sizes as people write them in the config.

import * as v from 'valibot'

const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+$/
const DURATION_PART = /(\d+(?:\.\d+)?)(ms|[smhdw])/g
const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

const SIZE = /^(\d+(?:\.\d+)?) ?(B|[KMGT]i?B)$/
const OCTETS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** Milliseconds of a duration such as `30s`, `1h30m` or `7d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 40 || !DURATION.test(text)) return undefined
  let ms = 0
  for (const [, count, unit] of text.matchAll(DURATION_PART)) ms += Number(count) * (MILLISECONDS[unit ?? ''] ?? NaN)
  return Number.isSafeInteger(Math.round(ms)) ? Math.round(ms) : undefined
}

/** Octets of a size such as `64KiB` or `10MB`; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  const match = text.length > 40 ? null : SIZE.exec(text)
  if (match === null) return undefined
  const octets = Math.round(Number(match[1]) * (OCTETS[match[2] ?? ''] ?? NaN))
  return Number.isSafeInteger(octets) ? octets : undefined
}

const quoted = (input: unknown): string => (typeof input === 'string' ? `'${input}'` : String(input))

const durationSchema = v.pipe(
  v.string((issue) =>
    typeof issue.input === 'number'
      ? `expected a duration with its unit, such as ${String(issue.input)}s or ${String(issue.input)}m, but found the bare number ${String(issue.input)}`
      : `expected a duration such as 30s, 5m, 12h or 7d, but found ${issue.received}`,
  ),
  v.check(
    (text) => parseDuration(text) !== undefined,
    (issue) =>
      `expected a duration such as 30s, 5m, 12h or 7d (units: ms, s, m, h, d, w), but found ${quoted(issue.input)}`,
  ),
  v.transform((text) => parseDuration(text) ?? 0),
)

const sizeSchema = v.pipe(
  v.union(
    [v.string(), v.number()],
    (issue) => `expected a size such as 512B, 64KiB, 10MiB or 1GiB, but found ${issue.received}`,
  ),
  v.check(
    (input) => (typeof input === 'number' ? Number.isSafeInteger(input) && input >= 0 : parseSize(input) !== undefined),
    (issue) =>
      `expected a size such as 512B, 64KiB, 10MiB or 1GiB, or a whole number of octets, but found ${quoted(issue.input)}`,
  ),
  v.transform((input) => (typeof input === 'number' ? input : (parseSize(input) ?? 0))),
)

type DurationSchema = typeof durationSchema
type SizeSchema = typeof sizeSchema

/** A duration in the config (`30s`, `5m`, `1h30m`, `7d`), in milliseconds once parsed. With a default, the setting may be left out. */
export function duration(): DurationSchema
export function duration(fallback: string): v.OptionalSchema<DurationSchema, string>
export function duration(fallback?: string): DurationSchema | v.OptionalSchema<DurationSchema, string> {
  return fallback === undefined ? durationSchema : v.optional(durationSchema, fallback)
}

/** A size in the config (`64KiB`, `10MiB`, or a number of octets), in octets once parsed. With a default, the setting may be left out. */
export function size(): SizeSchema
export function size(fallback: string): v.OptionalSchema<SizeSchema, string>
export function size(fallback?: string): SizeSchema | v.OptionalSchema<SizeSchema, string> {
  return fallback === undefined ? sizeSchema : v.optional(sizeSchema, fallback)
}
