// The stories of scripts as tests (node:test).

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { ScriptFault, type ScriptRunOptions, type ScriptServer, runStory } from './run.ts'
import { readScript, type ScriptFile, type ScriptStory } from './script.ts'

/** A server for one story. */
export interface ScriptedServer extends ScriptServer {
  /** Frees everything. Called once, after the connections were closed. */
  close(): Promise<void> | void
}

/** How scripts become tests. */
export interface ScriptTestOptions extends ScriptRunOptions {
  /** Stories that need what this server does not offer are skipped; otherwise that is a failure. */
  readonly partial?: boolean
  readonly skip?: string | false
}

/** All scripts (`*.txt`) of a folder, by name. */
export const readScripts = (folder: string): ScriptFile[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => readScript(name, readFileSync(join(folder, name), 'utf8')))

/**
 * Declares the stories of a folder's scripts as tests of one server. `factory` makes a server with an empty account for every story, set as it
 * wants; undefined where that cannot be: the story is skipped. A story that is said to
 * be answered otherwise by the server of this name (`unlike`) must fail, and is skipped where that happens `at times` only.
 */
export function testScripts(
  name: string,
  folder: string,
  factory: (story: ScriptStory) => Promise<ScriptedServer | undefined> | ScriptedServer | undefined,
  options: ScriptTestOptions = {},
): void {
  for (const file of readScripts(folder))
    describe(`${name}: ${file.name}`, { skip: options.skip ?? false }, () => {
      for (const story of file.stories)
        test(story.title, { timeout: 60_000 }, async (t) => {
          const server = await factory(story)
          if (server === undefined) return t.skip(`${name} cannot be set as the story wants`)
          try {
            await one(t, name, file, story, server, options)
          } finally {
            await server.close()
          }
        })
    })
}

async function one(
  t: TestContext,
  name: string,
  file: ScriptFile,
  story: ScriptStory,
  server: ScriptServer,
  options: ScriptTestOptions,
): Promise<void> {
  const why = story.unlike.get(name)
  // Now so, now otherwise: neither says anything.
  if (why?.startsWith('at times ') === true) return t.skip(`${name}: ${why}`)
  // What is known to come otherwise is not waited for long.
  const run = runStory(file, story, server, why === undefined ? options : { ...options, patience: 1000 })
  if (why !== undefined) return assert.rejects(run, ScriptFault, `${name} is as the story wants now; it was: ${why}`)
  const lacking = await run
  if (options.partial === true && lacking.length > 0) t.skip(`${name} does not offer what the story needs`)
  else assert.deepEqual(lacking, [], `${file.name}:${story.line}: capabilities that are lacking`)
}
