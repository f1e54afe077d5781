// Which Aviso this is.

import { existsSync, readFileSync } from 'node:fs'

/** The version in the package's manifest: of the sources, or of a release build, where it lies beside the bundle. */
export function version(): string {
  for (const manifest of ['../../package.json', './package.json']) {
    const file = new URL(manifest, import.meta.url)
    if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version
  }
  return 'unknown'
}
