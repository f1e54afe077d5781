// Settings that the endpoints share which are served over HTTP.

import * as v from 'valibot'

/** A path of one's own. */
export const webPath = (fallback: string) =>
  v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\/[\w./-]*\w$/, 'expected a path such as /chat, without a slash at its end'),
      v.description('where it is served'),
    ),
    fallback,
  )

export const requireHttps = v.optional(
  v.pipe(
    v.boolean(),
    v.description(
      'false lets clients come over HTTP in the clear, where accounts.cleartext lets them log in: for tests',
    ),
  ),
  true,
)
