// The page /chat/: converse.js, set up for the accounts of this server.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { prepareDomain } from '@aviso/xmpp'
import * as v from 'valibot'
import { Accounts } from '../../accounts/contracts.ts'
import { defineModule } from '../../kernel/module.ts'
import { endpoints } from '../../net/contracts.ts'
import { Web, WebError, type WebReply, type WebRequest } from '../../net/web/contracts.ts'
import { WebFiles } from '../../net/web/files.ts'
import { Chat } from '../core/contracts.ts'
import { webConnections } from './web-connections.ts'
import { webPath } from './web-settings.ts'

export const chatPage = defineModule({
  family: endpoints,
  name: 'chat-page',
  summary: 'A page to chat in a browser (converse.js), served by `http` at /chat/; it needs `websocket`.',
  config: v.strictObject({ path: webPath('/chat') }),

  create({ path }, scope) {
    const found = converse()
    if (found === undefined) {
      scope.log.info({ package: 'converse.js' }, 'the package of the chat page is not installed: it is not served')
      return { bound: [] }
    }
    const web = scope.use(Web)
    const accounts = scope.use(Accounts)
    const chat = scope.use(Chat)
    const connections = scope.use(webConnections)
    const files = new WebFiles(found.folder)
    const { version } = found

    /** The domain whose accounts log in without naming it: that of the page's address, or our first one. */
    const domainFor = (host: string): string | undefined =>
      ours(host, chat) ?? accounts.domains().find((domain) => chat.isLocal(domain))

    const start = (request: WebRequest): WebReply => {
      const socket = connections.path('websocket')
      const domain = domainFor(request.host)
      if (socket === undefined || domain === undefined) throw new WebError(404, 'There is no chat for browsers here.')
      const settings = {
        websocket_url: `${request.secure ? 'wss' : 'ws'}://${request.authority}${socket}`,
        default_domain: domain,
        assets_path: `${path}/${version}/`,
        view_mode: 'fullscreen',
        authentication: 'login',
        discover_connection_methods: false,
        auto_reconnect: true,
        allow_registration: false,
        auto_subscribe: false,
        muc_show_logs_before_join: true,
        muc_nickname_from_jid: true,
        message_archiving: 'always',
        // Nothing is fetched from elsewhere.
        show_client_info: false,
        registration_domain: '',
        fetch_url_headers: false,
        omemo_default: false,
        loglevel: 'warn',
      }
      return {
        headers: { 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'no-store' },
        body: `${footer(version)}converse.initialize(${JSON.stringify(settings)})\n`,
      }
    }

    web.route(scope, { method: 'GET', path, handle: () => ({ status: 308, headers: { location: `${path}/` } }) })
    web.route(scope, {
      method: 'GET',
      path: `${path}/`,
      handle(request) {
        if (request.rest === '')
          return page(request, version, connections.sites(domainFor(request.host) ?? request.host).join(' '))
        if (request.rest === 'start.js') return start(request)
        const prefix = `${version}/`
        if (!request.rest.startsWith(prefix)) throw new WebError(404, 'There is nothing at this address.')
        return files.reply(request.rest.slice(prefix.length), request)
      },
    })
    return { bound: [] }
  },
})

/** Where the files of converse.js are; undefined where the package is not installed. */
function converse(): { readonly folder: string; readonly version: string } | undefined {
  try {
    const require = createRequire(import.meta.url)
    const folder = dirname(require.resolve('converse.js/dist/converse.min.js'))
    const { version } = v.parse(v.object({ version: v.string() }), require(join(folder, '..', 'package.json')))
    return { folder, version }
  } catch {
    return undefined
  }
}

/** In place of the footer of its own, which shows pictures from elsewhere: what is defined before it begins is left as it is. */
const footer = (version: string): string => `customElements.define('converse-footer', class extends HTMLElement {
  connectedCallback() {
    const link = Object.assign(document.createElement('a'), {
      href: 'https://conversejs.org', target: '_blank', rel: 'noopener', textContent: ${JSON.stringify(`Converse ${version}`)},
    })
    this.className = 'text-center pb-3'
    this.replaceChildren(link)
  }
})
`

/** `own`: the sites where the files of the domain are. */
function page({ secure, authority }: WebRequest, version: string, own: string): WebReply {
  const socket = `${secure ? 'wss' : 'ws'}://${authority}`
  // It styles what it draws as it draws it, compiles its encryption, and shows what contacts send: pictures of this site only.
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    `img-src 'self' ${own} data: blob:`,
    `media-src 'self' ${own} data: blob:`,
    "font-src 'self' data:",
    `connect-src 'self' ${own} ${socket}`,
    "worker-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ]
  return {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'content-security-policy': policy.join('; '),
    },
    body: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Chat</title>
<link rel="icon" href="${version}/images/favicon.ico">
<link rel="stylesheet" href="${version}/converse.min.css">
<script type="module" src="${version}/converse.min.js"></script>
<script type="module" src="start.js"></script>
</head>
<body class="converse-fullscreen">
<noscript>This chat needs JavaScript.</noscript>
<div id="conversejs-bg"></div>
</body>
</html>
`,
  }
}

function ours(host: string, chat: Chat): string | undefined {
  try {
    const domain = prepareDomain(host)
    return chat.isLocal(domain) ? domain : undefined
  } catch {
    return undefined
  }
}
