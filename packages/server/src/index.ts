// What an `aviso.config.ts` imports.

export { type Config, defineConfig } from './config.ts'
