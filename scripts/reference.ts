// Makes the generated pages of docs/reference (`npm run docs`). With --check, only tells which are not up to date.

import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { apiReference } from './api-reference.ts'
import { settingsReference } from './settings-reference.ts'

const IMAP = 'docs/reference/imap'

const pages = new Map([['docs/reference/settings.md', settingsReference], ...apiReference('packages/imap', IMAP)])
const left = globSync(`${IMAP}/*.md`).filter((file) => !pages.has(file))

if (process.argv.includes('--check')) {
  const stale = [...pages].filter(([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text)
  for (const file of [...stale.map(([name]) => name), ...left]) {
    console.error(`${file} is not up to date: run npm run docs`)
    process.exitCode = 1
  }
} else {
  for (const file of left) rmSync(file)
  for (const [file, text] of pages) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}
