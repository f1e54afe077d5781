// RFC 5256 §2: texts in the form in which they sort.

/**
 * A text in the form whose code units sort as i;unicode-casemap (RFC 5051) does: decomposed, and in capitals, so that `_` comes behind letters.
 * Equal keys of `messageKeys` stay equal.
 */
export const collated = (key: string): string => (ASCII.test(key) ? key : key.normalize('NFKD')).toUpperCase()

const ASCII = /^[\0-\x7f]*$/
