// RFC 5801 §4: names inside GS2 headers and SCRAM messages.

import { SaslFailure } from '../contract.ts'

export function encodeSaslname(name: string): string {
  return name.replace(/[=,]/g, (character) => (character === '=' ? '=3D' : '=2C'))
}

/** Throws `SaslFailure` malformed-request for an `=` that is not of `=2C` or `=3D`. */
export function decodeSaslname(name: string): string {
  return name.replace(/=(2C|3D)?/gi, (_, code: string | undefined) => {
    if (code === undefined) throw new SaslFailure('malformed-request', 'A name has a bare "=".')
    return code === '3D' || code === '3d' ? '=' : ','
  })
}
