// How far something long is, on one line of a terminal that is written over.

export interface Step {
  readonly messages: number
  readonly octets: number
  /** Of the whole, 0 to 1. */
  readonly done: number
}

const EVERY = 200
const BAR = 24

/** Draws on standard error where that is a terminal; elsewhere it is silent. */
export class ProgressLine {
  readonly #shown: boolean
  readonly #started = performance.now()
  #drawn = -Infinity

  constructor(quiet: boolean) {
    this.#shown = !quiet && process.stderr.isTTY
  }

  show(step: Step): void {
    const now = performance.now()
    if (!this.#shown || now - this.#drawn < EVERY) return
    this.#drawn = now
    const line = progressText(step, (now - this.#started) / 1000)
    process.stderr.write(`\r${line.slice(0, (process.stderr.columns || 80) - 1)}\u001b[K`)
  }

  /** Takes the line away, so that what is written next has it to itself. */
  clear(): void {
    if (this.#drawn === -Infinity) return
    process.stderr.write('\r\u001b[K')
    this.#drawn = -Infinity
  }
}

/** One line for a step, `seconds` after the beginning. */
export function progressText({ messages, octets, done }: Step, seconds: number): string {
  const full = Math.round(done * BAR)
  const rate = seconds > 0 ? Math.round(messages / seconds) : 0
  // The first seconds tell nothing about the last.
  const left = done > 0.001 && seconds > 1 && done < 1 ? `, ${clock((seconds / done) * (1 - done))} left` : ''
  return `[${'#'.repeat(full)}${'.'.repeat(BAR - full)}] ${Math.floor(done * 100)} %  ${messages} messages, ${sizeText(octets)}, ${rate}/s${left}`
}

/** Octets for people. */
export function sizeText(octets: number): string {
  if (octets < 1024) return `${octets} B`
  let value = octets / 1024
  let unit = 0
  for (; value >= 1024 && unit < 3; unit++) value /= 1024
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${['KiB', 'MiB', 'GiB', 'TiB'][unit] ?? ''}`
}

function clock(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(whole / 3600)
  return `${hours > 0 ? `${hours}:` : ''}${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`
}
