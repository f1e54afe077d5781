// XEP-0379, XEP-0401: invitations are made, looked up and used here, whoever asks.

import { Jid } from '@aviso/xmpp'
import { parseAccountAddress } from '../../accounts/address.ts'
import type { Accounts } from '../../accounts/contracts.ts'
import { AccountError, accountError } from '../../accounts/errors.ts'
import type { Clock } from '../../kernel/clock.ts'
import { type Random, randomWord } from '../../kernel/random.ts'
import type { Store } from '../../store/contracts.ts'
import { rosterStore } from '../core/roster.store.ts'
import { type Invite, type InviteKind, invitesStore } from './invites.store.ts'

/** 120 bits. */
const TOKEN_LETTERS = 24
const DAY = 86_400_000

export interface InviteWish {
  readonly kind: InviteKind
  /** For `account`: where the account will be; the domain of the inviter or of `address` if not given. */
  readonly domain?: string | undefined
  /** Who becomes a contact; needed for `contact`. */
  readonly inviter?: string | undefined
  /** The address of the account to be, or whose password is to be set; needed for `reset`. */
  readonly address?: string | undefined
  readonly role?: Invite['role'] | undefined
  /** Lets who takes a `contact` invitation make an account with it. */
  readonly register?: boolean | undefined
  /** Milliseconds; a week, and a day for `reset`. */
  readonly lifetime?: number | undefined
  /** Once. */
  readonly uses?: number | undefined
  /** How many the inviter may have at a time. */
  readonly limit?: number | undefined
}

export interface MadeInvite extends Invite {
  /** `xmpp:...`, to be shown or sent. */
  readonly uri: string
}

export class Invites {
  readonly #store: Store
  readonly #accounts: Pick<Accounts, 'byAddress' | 'isLocal' | 'roles'>
  readonly #clock: Clock
  readonly #random: Random

  constructor(store: Store, accounts: Pick<Accounts, 'byAddress' | 'isLocal' | 'roles'>, clock: Clock, random: Random) {
    this.#store = store
    this.#accounts = accounts
    this.#clock = clock
    this.#random = random
  }

  get #rows() {
    return this.#store.core(invitesStore)
  }

  /** Makes an invitation. Rejects with an `AccountError`. */
  async make(wish: InviteWish): Promise<MadeInvite> {
    const inviter = wish.inviter === undefined ? '' : await this.#mustExist(wish.inviter)
    let address = ''
    if (wish.kind === 'reset') address = await this.#mustExist(wish.address ?? '')
    else if (wish.address !== undefined) address = await this.#mustBeFree(wish.address)
    if (wish.kind === 'contact' && inviter === '') throw new AccountError('invalid', 'whose contact is it to be?')
    const domain = wish.domain ?? domainOf(address === '' ? inviter : address)
    if (!this.#accounts.isLocal(domain))
      throw new AccountError('not-found', `'${domain.slice(0, 100)}' is not a domain of this server`)
    if (address !== '' && domainOf(address) !== domain)
      throw new AccountError('invalid', `${address} is not an address of ${domain}`)
    const role = wish.role ?? 'user'
    this.#mustBeHarmless(role)
    const created = this.#clock.now()
    const invite: Invite = {
      token: randomWord(this.#random, TOKEN_LETTERS),
      kind: wish.kind,
      domain,
      inviter,
      address,
      role,
      register: wish.kind === 'account' || (wish.kind === 'contact' && wish.register === true),
      created,
      expires: created + (wish.lifetime ?? (wish.kind === 'reset' ? DAY : 7 * DAY)),
      uses: wish.uses ?? 1,
    }
    try {
      await this.#rows.add({ invite, limit: wish.limit ?? Number.MAX_SAFE_INTEGER })
    } catch (error) {
      throw accountError(error)
    }
    return { ...invite, uri: uriOf(invite) }
  }

  #mustBeHarmless(role: string): void {
    try {
      this.#accounts.roles.mustBeHarmless(role)
    } catch (error) {
      throw new AccountError('invalid', (error as RangeError).message, { cause: error })
    }
  }

  /** The invitation of that token, if it can be used at that domain. */
  async find(token: string, domain: string): Promise<Invite | undefined> {
    if (token.length === 0 || token.length > 100) return undefined
    const invite = await this.#rows.find({ token })
    if (invite === undefined || invite.domain !== domain || invite.uses <= 0) return undefined
    return invite.expires <= this.#clock.now() ? undefined : invite
  }

  /** Uses the invitation for `act`: if that fails, it stays as it was. Resolves with undefined where it was used up meanwhile. */
  async use<T>({ token }: Invite, act: () => Promise<T>): Promise<T | undefined> {
    if (!(await this.#rows.use({ token }))) return undefined
    try {
      return await act()
    } catch (error) {
      await this.#rows.giveBack({ token })
      throw error
    }
  }

  /** Makes the inviter and an account of ours contacts of each other. */
  async introduce({ inviter }: Invite, address: string): Promise<void> {
    if (inviter === '' || inviter === address) return
    const [one, other] = [await this.#accounts.byAddress(inviter), await this.#accounts.byAddress(address)]
    if (one === undefined || other === undefined) return
    await this.#store.account(rosterStore, one.id).import({ items: [{ contact: address, name: '' }] })
    await this.#store.account(rosterStore, other.id).import({ items: [{ contact: inviter, name: '' }] })
  }

  async list(limit = 1000): Promise<readonly MadeInvite[]> {
    return (await this.#rows.list({ now: this.#clock.now(), limit })).map((invite) => ({
      ...invite,
      uri: uriOf(invite),
    }))
  }

  /** Rejects with an `AccountError` where there is none. */
  async revoke(token: string): Promise<void> {
    if (!(await this.#rows.revoke({ token }))) throw new AccountError('not-found', 'there is no such invitation')
  }

  async forget(address: string): Promise<void> {
    await this.#rows.forget({ address })
  }

  async #mustExist(text: string): Promise<string> {
    const account = await this.#accounts.byAddress(parseAccountAddress(text).address)
    if (account === undefined) throw new AccountError('not-found', `there is no account ${text.slice(0, 100)}`)
    return account.address
  }

  async #mustBeFree(text: string): Promise<string> {
    const { address } = parseAccountAddress(text)
    if ((await this.#accounts.byAddress(address)) !== undefined)
      throw new AccountError('exists', `the account ${address} exists already`)
    return address
  }
}

const domainOf = (address: string): string => address.slice(address.lastIndexOf('@') + 1)

/** XEP-0379 §3.1, XEP-0401 §4: the address of the invitation as a URI (RFC 5122). */
export function uriOf({ kind, domain, inviter, address, token, register }: Invite): string {
  const part = (jid: string): string => {
    const { local, domain: host } = Jid.parse(jid)
    return local === '' ? host : `${encodeURIComponent(local)}@${host}`
  }
  if (kind === 'contact') return `xmpp:${part(inviter)}?roster;preauth=${token}${register ? ';ibr=y' : ''}`
  return `xmpp:${part(address === '' ? domain : address)}?register;preauth=${token}`
}
