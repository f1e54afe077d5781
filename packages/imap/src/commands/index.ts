// All commands by name.

import type { Command } from '../server/command.ts'
import { deleteAcl, getAcl, listRights, myRights, setAcl } from './acl.ts'
import { append } from './append.ts'
import { authenticate } from './authenticate.ts'
import { cancelUpdate } from './cancel-update.ts'
import { capability } from './capability.ts'
import { close, unselect } from './close.ts'
import { compress } from './compress.ts'
import { copy, move, uidCopy, uidMove } from './copy.ts'
import { create } from './create.ts'
import { deleteMailbox } from './delete.ts'
import { enable } from './enable.ts'
import { esearch } from './esearch.ts'
import { expunge, uidExpunge } from './expunge.ts'
import { fetch, uidFetch } from './fetch.ts'
import { id } from './id.ts'
import { idle } from './idle.ts'
import { list } from './list.ts'
import { login } from './login.ts'
import { logout } from './logout.ts'
import { lsub } from './lsub.ts'
import { getMetadata, setMetadata } from './metadata.ts'
import { namespace } from './namespace.ts'
import { check, noop } from './noop.ts'
import { notify } from './notify.ts'
import { getQuota, getQuotaRoot, setQuota } from './quota.ts'
import { rename } from './rename.ts'
import { replace, uidReplace } from './replace.ts'
import { search, uidSearch } from './search.ts'
import { examine, select } from './select.ts'
import { sort, uidSort } from './sort.ts'
import { starttls } from './starttls.ts'
import { status } from './status.ts'
import { store, uidStore } from './store.ts'
import { uidBatches } from './uid-batches.ts'
import { subscribe, unsubscribe } from './subscribe.ts'
import { unauthenticate } from './unauthenticate.ts'
import { thread, uidThread } from './thread.ts'

const any = [capability, noop, logout, id]
const unauthenticated = [starttls, authenticate, login]
const authenticated = [
  enable,
  namespace,
  select,
  examine,
  create,
  deleteMailbox,
  rename,
  subscribe,
  unsubscribe,
  list,
  lsub,
  status,
  append,
  idle,
  compress,
  unauthenticate,
  esearch,
  notify,
  getQuota,
  getQuotaRoot,
  setQuota,
  getMetadata,
  setMetadata,
  setAcl,
  deleteAcl,
  getAcl,
  listRights,
  myRights,
]
const selected = [
  check,
  close,
  unselect,
  expunge,
  uidExpunge,
  search,
  uidSearch,
  sort,
  uidSort,
  cancelUpdate,
  thread,
  uidThread,
  fetch,
  uidFetch,
  store,
  uidStore,
  copy,
  uidCopy,
  move,
  uidMove,
  uidBatches,
  replace,
  uidReplace,
]

/** Command name in capitals (`UID FETCH` with its space) → command. */
export const commands: ReadonlyMap<string, Command> = new Map(
  [...any, ...unauthenticated, ...authenticated, ...selected].map((command) => [command.name, command]),
)
