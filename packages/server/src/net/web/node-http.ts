// Node's HTTP server. An `import` from node:http evaluates all that it exports, its browser's WebSocket among it, and with that 14 MiB of which nothing is used here.

import type * as http from 'node:http'

const node: typeof http = process.getBuiltinModule('node:http')

export const createServer = node.createServer
export const STATUS_CODES = node.STATUS_CODES
export const ServerResponse = node.ServerResponse
