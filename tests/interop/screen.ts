// A program on a terminal that a test can type on and look at: tmux, on a socket of its own.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { eventually, run, succeed } from './programs.ts'

export class Screen {
  readonly #socket: string

  private constructor(socket: string) {
    this.#socket = socket
  }

  /** Starts a command on a terminal of 120 columns and 40 lines. `folder` holds the socket; it is the home of the program too. */
  static async open(
    folder: string,
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Screen> {
    const screen = new Screen(join(folder, 'tmux'))
    const settings = Object.entries({ HOME: folder, LC_ALL: 'C.UTF-8', ...env }).flatMap(([name, value]) => [
      '-e',
      `${name}=${value}`,
    ])
    await screen.#tmux('-f', '/dev/null', 'new-session', '-d', '-x', '120', '-y', '40', ...settings, ...command)
    return screen
  }

  /** Types text as it is. */
  async type(text: string): Promise<void> {
    await this.#tmux('send-keys', '-l', '--', text)
  }

  /** Presses keys by tmux's names: `Enter`, `q`. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux('send-keys', ...keys)
  }

  /** Resolves with what is on the screen once `pattern` is there. */
  shows(pattern: RegExp): Promise<string> {
    let seen = ''
    return eventually(
      () => `${String(pattern)} on the screen:\n${seen}`,
      async () => {
        seen = await this.#tmux('capture-pane', '-p')
        return pattern.test(seen) ? seen : undefined
      },
    )
  }

  /** Resolves when the program has come to its own end. */
  async ended(): Promise<void> {
    await eventually('the end of the program', async () =>
      (await run('tmux', ['-S', this.#socket, 'has-session'])).status === 0 ? undefined : true,
    )
  }

  /** Ends the program and its terminal. */
  close(): void {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server'])
  }

  #tmux(...args: readonly string[]): Promise<string> {
    return succeed('tmux', ['-S', this.#socket, ...args])
  }
}
