// How late the server's event loop was, as its metrics tell.

import { type Figure, figure } from './figures.ts'

/** Asks for the delay since it was asked for last. */
export async function eventLoopDelay(port: number): Promise<Figure[]> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  const text = await response.text()
  const quantile = (q: string): number | undefined => {
    const found = new RegExp(`^aviso_event_loop_delay_seconds\\{quantile="${q}"\\} (\\S+)`, 'm').exec(text)
    return found === null ? undefined : Number(found[1]) * 1000
  }
  return [
    figure('event loop delay p99', quantile('0.99'), 'ms'),
    figure('event loop delay p99.9', quantile('0.999'), 'ms'),
    figure('event loop delay max', quantile('1'), 'ms'),
  ]
}
