#!/usr/bin/env node
// The command `aviso`: starts the program on Node 24 or newer, from the sources or from a release build.
'use strict'

const { existsSync } = require('node:fs')
const path = require('node:path')

const source = path.join(__dirname, '..', 'src', 'main.ts')
const built = path.join(__dirname, '..', 'dist', 'main.js')
require('./runtime.cjs').run(existsSync(source) ? source : built, process.argv.slice(2))
