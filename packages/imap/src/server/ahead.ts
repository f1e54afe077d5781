// Many answers of a store, in order, without waiting for each before the next is asked for.

/** How a call ended. */
export type Settled<T> = { readonly value: T } | { readonly error: unknown }

/** Calls in flight: enough for a store to take many together, few enough that one session is no crowd. */
const IN_FLIGHT = 64

/** `call` for each item, in order, at most `IN_FLIGHT` of them unfinished. A call that fails ends nothing: its error is its answer. */
export async function* ahead<I, T>(
  items: Iterable<I>,
  call: (item: I) => Promise<T>,
): AsyncGenerator<{ readonly item: I; readonly answer: Settled<T> }> {
  const waiting: { readonly item: I; readonly answer: Promise<Settled<T>> }[] = []
  for (const item of items) {
    waiting.push({ item, answer: settle(call(item)) })
    if (waiting.length < IN_FLIGHT) continue
    const first = waiting.shift()
    if (first !== undefined) yield { item: first.item, answer: await first.answer }
  }
  for (const { item, answer } of waiting) yield { item, answer: await answer }
}

async function settle<T>(answer: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await answer }
  } catch (error) {
    return { error }
  }
}
