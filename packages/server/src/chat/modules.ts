// The modules of the chat rooms.

import type { AnyModule } from '../kernel/module.ts'
import { c2s } from './endpoints/c2s.ts'
import { blocking } from './features/blocking.ts'
import { carbons } from './features/carbons.ts'
import { csi } from './features/csi.ts'
import { disco } from './features/disco.ts'
import { legacySession } from './features/legacy-session.ts'
import { offline } from './features/offline.ts'
import { ping } from './features/ping.ts'
import { rosterVersioning } from './features/roster-versioning.ts'
import { time } from './features/time.ts'
import { version } from './features/version.ts'

/** In the order of the reference page; all of them are on unless the config says otherwise. */
export const chatFeatures: readonly AnyModule[] = [
  disco,
  ping,
  version,
  time,
  offline,
  rosterVersioning,
  legacySession,
  carbons,
  csi,
  blocking,
]

export const chatModules: readonly AnyModule[] = [c2s, ...chatFeatures]
