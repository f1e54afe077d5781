// For tests of mail stores and servers: the conformance kit of the backend contract, and a backend in memory.

export { testBackend } from './backend-kit.ts'
export type { BackendUnderTest, KitOptions, Optional } from './kit.ts'
export { MemoryMail, type MemoryMailOptions } from '../memory/account.ts'
export {
  readScript,
  readScripts,
  runStory,
  ScriptFault,
  type ScriptFile,
  type ScriptRunOptions,
  type ScriptServer,
  type ScriptStory,
  type ScriptTestOptions,
  type ScriptedServer,
  serveAccount,
  serverAt,
  testScripts,
} from './scripts/index.ts'
