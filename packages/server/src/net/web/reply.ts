// Replies that are the same everywhere: errors.

import { type WebError, type WebReply } from './contracts.ts'
import { STATUS_CODES } from './node-http.ts'

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

/** The page for an error: HTML where the client is a browser, else a line of text. */
export function errorReply({ status, message, headers }: WebError, accept: string | undefined): WebReply {
  const title = `${status} ${STATUS_CODES[status] ?? ''}`.trim()
  if (accept?.includes('text/html') !== true) {
    return {
      status,
      headers: { ...headers, 'content-type': 'text/plain; charset=utf-8' },
      body: `${title}: ${message}\n`,
    }
  }
  const body = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>body{font:1.1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:32rem;padding:0 1rem;color:#222}@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}}</style>
<h1>${title}</h1>
<p>${escapeHtml(message)}</p>
</html>
`
  return {
    status,
    headers: {
      ...headers,
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    },
    body,
  }
}
