// Runs a TypeScript file on Node 24 or newer: this very process where it is new enough, else the runtime that npm brought along.
'use strict'
require('../packages/server/bin/runtime.cjs').run(process.argv[2], process.argv.slice(3))
