// The tables of accounts in the core database. Store workers import this file: it must stay light.

import { defineStore, read, write } from '../store/contracts.ts'
import { accountOperations } from './operations/accounts.ts'
import { addressOperations } from './operations/addresses.ts'
import { clientOperations } from './operations/clients.ts'
import { guestOperations } from './operations/guests.ts'
import { auditOperations } from './operations/audit.ts'

const TABLES = `
CREATE TABLE accounts_domain (
  name TEXT PRIMARY KEY,
  position BIGINT NOT NULL,
  created BIGINT NOT NULL
);
CREATE TABLE accounts_account (
  id TEXT PRIMARY KEY,
  address TEXT NOT NULL UNIQUE,
  local TEXT NOT NULL,
  domain TEXT NOT NULL,
  role TEXT NOT NULL,
  state TEXT NOT NULL,
  created BIGINT NOT NULL,
  updated BIGINT NOT NULL
);
CREATE INDEX accounts_account_domain ON accounts_account (domain, address);
CREATE INDEX accounts_account_admin ON accounts_account (domain, created) WHERE role = 'admin';
CREATE INDEX accounts_account_unfinished ON accounts_account (created) WHERE state IN ('creating', 'deleting');
CREATE TABLE accounts_credential (
  account TEXT NOT NULL,
  form TEXT NOT NULL,
  secret TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, form)
);
CREATE TABLE accounts_alias (
  address TEXT NOT NULL,
  target TEXT NOT NULL,
  domain TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (address, target)
);
CREATE INDEX accounts_alias_target ON accounts_alias (target);
CREATE INDEX accounts_alias_domain ON accounts_alias (domain, address);
CREATE TABLE accounts_tombstone (
  id TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  deleted BIGINT NOT NULL
);
CREATE TABLE accounts_audit (
  sequence BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  who TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE accounts_secret (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
`

const CLIENTS = `
CREATE TABLE accounts_client (
  account TEXT NOT NULL,
  client TEXT NOT NULL,
  software TEXT NOT NULL,
  device TEXT NOT NULL,
  created BIGINT NOT NULL,
  used BIGINT NOT NULL,
  PRIMARY KEY (account, client)
);
CREATE TABLE accounts_token (
  account TEXT NOT NULL,
  client TEXT NOT NULL,
  slot TEXT NOT NULL,
  mechanism TEXT NOT NULL,
  secret TEXT NOT NULL,
  issued BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (account, client, slot)
);
CREATE INDEX accounts_token_expires ON accounts_token (expires);
`

const GUESTS = `
CREATE TABLE accounts_guest (
  id TEXT PRIMARY KEY,
  address TEXT NOT NULL,
  created BIGINT NOT NULL
);
`

export const accountStore = defineStore({
  name: 'accounts',
  scale: 'core',
  migrations: [
    TABLES,
    'CREATE INDEX accounts_tombstone_address ON accounts_tombstone (address, deleted);',
    CLIENTS,
    GUESTS,
  ],
  operations: {
    ...accountOperations,
    ...addressOperations,
    ...auditOperations,
    ...clientOperations,
    ...guestOperations,

    /** A secret of this server that was kept before; undefined when there is none yet. */
    secret: read(async (tx, name: string): Promise<string | undefined> => {
      const row = await tx.get('SELECT value FROM accounts_secret WHERE name = ?', name)
      return row === undefined ? undefined : String(row[0])
    }),

    /** Keeps `value` under `name` unless there is one already; answers the one that is kept. */
    keepSecret: write(
      async (tx, { name, value }: { readonly name: string; readonly value: string }): Promise<string> => {
        await tx.run(
          'INSERT INTO accounts_secret (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING',
          name,
          value,
        )
        const row = await tx.get('SELECT value FROM accounts_secret WHERE name = ?', name)
        return String(row?.[0])
      },
    ),
  },
})

export type AccountStore = typeof accountStore
