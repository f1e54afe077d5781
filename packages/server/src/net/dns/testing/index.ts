// For tests of whoever asks the DNS: zones as plain data, a resolver over them, and a server on loopback.

export { FakeDns, type FakeDnsOptions, type FakeQuery } from './server.ts'
export { type ZoneResolver, zoneResolver } from './resolver.ts'
export type { ZoneFailure, ZoneRecords, Zones, ZoneType } from './zones.ts'
