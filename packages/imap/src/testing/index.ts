// For tests of mail stores and servers: the conformance kit of the backend contract, and a backend in memory.

export { testBackend } from './backend-kit.ts'
export type { BackendUnderTest, KitOptions, Optional } from './kit.ts'
export { MemoryMail, type MemoryMailOptions } from '../memory/account.ts'
