// The modules of the chat rooms.

import type { AnyModule } from '../kernel/module.ts'
import { c2s } from './endpoints/c2s.ts'
import { componentEndpoint } from './endpoints/component.ts'
import { bosh } from './endpoints/bosh/bosh.ts'
import { chatPage } from './endpoints/chat-page.ts'
import { hostMeta } from './endpoints/host-meta.ts'
import { proxy65 } from './endpoints/proxy65.ts'
import { s2s } from './endpoints/s2s.ts'
import { websocket } from './endpoints/websocket.ts'
import { archive } from './archive/archive.ts'
import { blocking } from './features/blocking.ts'
import { carbons } from './features/carbons.ts'
import { csi } from './features/csi.ts'
import { disco } from './features/disco.ts'
import { legacySession } from './features/legacy-session.ts'
import { offline } from './features/offline.ts'
import { httpUpload } from './features/http-upload.ts'
import { externalServices } from './features/external-services.ts'
import { ping } from './features/ping.ts'
import { push } from './features/push.ts'
import { rosterVersioning } from './features/roster-versioning.ts'
import { streamManagement } from './features/stream-management.ts'
import { time } from './features/time.ts'
import { contactAddresses } from './features/contact-addresses.ts'
import { lastActivity } from './features/last-activity.ts'
import { privateStorage } from './features/private-storage.ts'
import { serverInfo } from './features/server-info.ts'
import { uptime } from './features/uptime.ts'
import { vcard } from './features/vcard.ts'
import { adminCommands } from './features/admin-commands.ts'
import { announce } from './features/announce.ts'
import { commands } from './features/commands.ts'
import { motd } from './features/motd.ts'
import { watchRegistrations } from './features/watch-registrations.ts'
import { welcome } from './features/welcome.ts'
import { accountManagement } from './features/account-management.ts'
import { pep } from './pubsub/pep.ts'
import { avatars } from './features/avatars.ts'
import { bookmarks } from './features/bookmarks.ts'
import { pubsub } from './pubsub/pubsub.ts'
import { invites } from './features/invites.ts'
import { mimicry } from './features/mimicry.ts'
import { registration } from './features/registration.ts'
import { reservedNames } from './features/reserved-names.ts'
import { tombstones } from './features/tombstones.ts'
import { strangers } from './features/strangers.ts'
import { sharedGroups } from './features/shared-groups.ts'
import { rules } from './features/rules.ts'
import { version } from './features/version.ts'
import { rooms } from './rooms/rooms.ts'

/** In the order of the reference page; all of them are on unless the config says otherwise. */
export const chatFeatures: readonly AnyModule[] = [
  disco,
  ping,
  version,
  time,
  archive,
  offline,
  rosterVersioning,
  legacySession,
  carbons,
  csi,
  streamManagement,
  push,
  httpUpload,
  externalServices,
  blocking,
  rules,
  strangers,
  uptime,
  lastActivity,
  pep,
  vcard,
  avatars,
  privateStorage,
  bookmarks,
  contactAddresses,
  serverInfo,
  commands,
  adminCommands,
  announce,
  motd,
  welcome,
  watchRegistrations,
  accountManagement,
  registration,
  invites,
  mimicry,
  reservedNames,
  tombstones,
  sharedGroups,
  rooms,
]

/** Those that are off unless the config names them. */
export const furtherFeatures: readonly AnyModule[] = [pubsub]

export const chatModules: readonly AnyModule[] = [
  c2s,
  s2s,
  componentEndpoint,
  websocket,
  bosh,
  hostMeta,
  chatPage,
  proxy65,
  ...chatFeatures,
  ...furtherFeatures,
]
