#!/usr/bin/env node
// The command `aviso`, from the sources: starts the program on Node 24 or newer. (A release build has a launcher of its own.)
'use strict'

const path = require('node:path')

require('./runtime.cjs').run(path.join(__dirname, '..', 'src', 'main.ts'), process.argv.slice(2))
