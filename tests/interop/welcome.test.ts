// `npm start` as a newcomer sees it: the lines that it prints under "Try" are run as they stand.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { needs, run } from './programs.ts'
import { ServerProcess, temporaryFolder } from './server.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

describe('the welcome of npm start', () => {
  const folder = temporaryFolder()
  let server: ServerProcess
  let welcome = ''
  before(async () => {
    ;({ server } = await ServerProcess.start(['demo', '--data', folder.path], (line) => {
      welcome += `${line}\n`
      return line.includes('Everything is kept in') ? true : undefined
    }))
  })
  after(async () => {
    assert.equal(await server.stop(), 0)
    folder.remove()
  })

  test('the lines under "Try" work as printed, one after the other', { skip: needs('curl', 'npm') }, async () => {
    const from = welcome.indexOf('Try, in another terminal:')
    const lines = welcome
      .slice(from, welcome.indexOf('Stop with', from))
      .split('\n')
      .slice(1)
      .map((line) => line.trim())
      .filter((line) => line !== '')
    assert.equal(lines.length, 4, welcome)
    const said: string[] = []
    for (const line of lines) {
      // `account add` asks for a password on a terminal; a script gives it on standard input.
      const command = line.includes('account add') ? line.replace('account add', 'account add --password-stdin') : line
      const { status, stdout, stderr } = await run('sh', ['-c', command], {
        cwd: ROOT,
        input: 'a good long password\n',
      })
      assert.equal(status, 0, `${command}\n${stdout}${stderr}`)
      said.push(stdout)
    }
    assert.match(said[1] ?? '', /^Return-Path: <anna@aviso\.test>\r?\n[^]*Subject: Hello\r?\n[^]*It works\./)
    assert.match(said[2] ?? '', /localhost serves aviso\.test/)
    assert.match(said[3] ?? '', /carla@aviso\.test can log in now/)
  })
})
