// The results, as a table for people and as JSON for machines.

import type { Figure } from './figures.ts'
import type { Measurement, Outcome } from './measurement.ts'

export interface Result {
  readonly measurement: Measurement
  /** Undefined where the measurement failed. */
  readonly outcome: Outcome | undefined
  readonly error?: string
}

export function table({ measurement, outcome, error }: Result): string {
  const lines = [`${measurement.name}: ${measurement.summary}`]
  if (error !== undefined) lines.push(`  FAILED: ${error}`)
  if (outcome?.void !== undefined) lines.push(`  VOID: ${outcome.void}`)
  for (const { name, value, unit } of outcome?.figures ?? [])
    lines.push(`  ${name.padEnd(46)} ${shown(value).padStart(10)} ${value === undefined ? '' : unit}`.trimEnd())
  return lines.join('\n')
}

const shown = (value: number | undefined): string => {
  if (value === undefined || Number.isNaN(value)) return 'n/a'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Figures by measurement and name; null is not known on this platform. */
export function asJson(results: readonly Result[], about: Readonly<Record<string, unknown>>): string {
  const measurements = Object.fromEntries(
    results.map(({ measurement, outcome, error }) => [
      measurement.name,
      {
        ...(error === undefined ? {} : { error }),
        ...(outcome?.void === undefined ? {} : { void: outcome.void }),
        figures: Object.fromEntries((outcome?.figures ?? []).map(entry)),
      },
    ]),
  )
  return `${JSON.stringify({ ...about, measurements }, undefined, 2)}\n`
}

const entry = ({ name, value, unit }: Figure): [string, unknown] => [name, { value: value ?? null, unit }]
