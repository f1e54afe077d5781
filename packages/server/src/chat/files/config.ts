// What the config says of uploaded files for all domains together.

import * as v from 'valibot'
import { size } from '../../kernel/units.ts'
import { mediaType } from './names.ts'

/** A type or a family of types. */
const typePattern = v.pipe(
  v.string(),
  v.toLowerCase(),
  v.check(
    (text) => mediaType(text.replace(/\/\*$/, '/any')) !== undefined,
    'expected a type such as image/png, or a family such as image/*',
  ),
)
export const typePatterns = v.array(typePattern)

/** A number of octets, or no limit. */
export const sizeOrNone = v.pipe(
  v.union([v.literal('none'), size()]),
  v.transform((limit) => (limit === 'none' ? undefined : limit)),
)

export const filesConfig = v.strictObject({
  'server-quota': v.optional(
    v.pipe(
      sizeOrNone,
      v.description('what the files of all accounts may take together; `none`: as much as there is room for'),
    ),
    '100GiB',
  ),
  'shown-types': v.optional(
    v.pipe(
      typePatterns,
      v.description(
        'what browsers show by themselves; everything else they offer to save. A family does not stand for those of it that can hold scripts, such as image/svg+xml',
      ),
    ),
    ['image/*', 'video/*', 'audio/*', 'text/plain'],
  ),
})
export type FilesConfig = v.InferOutput<typeof filesConfig>
