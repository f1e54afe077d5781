// Every store of the house: what the store workers load. A room's store file imports nothing heavy, so that a worker stays small.

import { accountStore } from './accounts/store.ts'
import { rosterStore } from './chat/core/roster.store.ts'
import { blockingStore } from './chat/features/blocking.store.ts'
import { bookmarksStore } from './chat/features/bookmarks.store.ts'
import { archiveStore } from './chat/archive/archive.store.ts'
import { lastActivityStore } from './chat/features/last-activity.store.ts'
import { noticesStore } from './chat/features/notices.store.ts'
import { offlineStore } from './chat/features/offline.store.ts'
import { filesStore } from './chat/files/files.store.ts'
import { pushStore } from './chat/features/push.store.ts'
import { suspendedStore } from './chat/features/suspended.store.ts'
import { reportsStore } from './chat/features/reports.store.ts'
import { strangersStore } from './chat/features/strangers.store.ts'
import { xmlEntriesStore } from './chat/features/xml-entries.store.ts'
import { capabilitiesStore } from './chat/pubsub/capabilities.store.ts'
import { personalNodesStore, serviceNodesStore } from './chat/pubsub/nodes.store.ts'
import { invitesStore } from './chat/invites/invites.store.ts'
import { roomsStore } from './chat/rooms/rooms.store.ts'
import { sharedGroupsStore } from './chat/features/shared-groups.store.ts'
import { keyStore } from './mail/keys/store.ts'
import { appendLimitStore } from './mail/mailboxes/append-limits.store.ts'
import { shareStore } from './mail/mailboxes/sharing/shares.store.ts'
import { greylistStore } from './mail/checks/greylist/greylist.store.ts'
import { mailStore } from './mail/mailboxes/store.ts'
import { storyStore } from './mail/stories/store.ts'
import { remoteStore } from './mail/targets/remote/store.ts'
import { queueStore } from './mail/targets/queue/core-store.ts'
import { spoolStore } from './mail/targets/queue/store.ts'
import { bansStore } from './net/bans.store.ts'
import { secretsStore } from './store/secrets.store.ts'
import type { StoreDefinition } from './store/contracts.ts'

export const stores: readonly StoreDefinition[] = [
  accountStore,
  bansStore,
  queueStore,
  spoolStore,
  storyStore,
  remoteStore,
  keyStore,
  mailStore,
  greylistStore,
  shareStore,
  appendLimitStore,
  rosterStore,
  offlineStore,
  archiveStore,
  pushStore,
  filesStore,
  secretsStore,
  suspendedStore,
  blockingStore,
  reportsStore,
  lastActivityStore,
  xmlEntriesStore,
  noticesStore,
  invitesStore,
  sharedGroupsStore,
  roomsStore,
  strangersStore,
  personalNodesStore,
  bookmarksStore,
  serviceNodesStore,
  capabilitiesStore,
]
