// XEP-0082 §3.2: points in time

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** Milliseconds since the epoch; undefined for what is no point in time. */
export function readDateTime(text: string): number | undefined {
  const at = DATE_TIME.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(at) ? undefined : at
}
