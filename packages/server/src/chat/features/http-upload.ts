// XEP-0363: HTTP File Upload

import { el, type Element, StanzaError } from '@aviso/xmpp'
import * as v from 'valibot'
import type { Account } from '../../accounts/contracts.ts'
import type { Scope } from '../../kernel/scope.ts'
import { duration, size } from '../../kernel/units.ts'
import { Web } from '../../net/web/contracts.ts'
import { StoreError } from '../../store/contracts.ts'
import { finished, type Stage } from '../core/commands.ts'
import { chatFeature, type Disco, type Host, type IqHandlers, type IqRequest } from '../core/contracts.ts'
import { readDateTime } from '../core/date-time.ts'
import { form, result } from '../core/forms.ts'
import { openService, openServices, serviceDomain, type ServicePlace } from '../core/service.ts'
import { sizeOrNone, typePatterns } from '../files/config.ts'
import { webConnections } from '../endpoints/web-connections.ts'
import { FILES_PATH } from '../files/door.ts'
import { fileName, mediaType, typeIsAmong } from '../files/names.ts'
import { Files, type Shelf, type Wish } from '../files/shelf.ts'

export const UPLOAD = 'urn:xmpp:http:upload:0'
const PURPOSE = 'urn:xmpp:http:upload:purpose:0'

/** The most files that a form shows. */
const SHOWN = 100

const expiry = v.pipe(
  v.union([v.literal('never'), duration()]),
  v.transform((time) => (time === 'never' ? undefined : time)),
)

const config = v.strictObject({
  domain: serviceDomain(
    'upload.{domain}',
    'where clients ask for a place to upload to; `{domain}` alone: at the domains themselves',
  ),
  name: v.optional(v.pipe(v.string(), v.description('how clients show it')), 'Files'),
  url: v.optional(
    v.pipe(
      v.string(),
      v.check(
        (text) => /^https?:\/\/[^?#\s]+\/$/.test(text) && URL.canParse(text.replaceAll('{domain}', 'example.org')),
        'expected an address such as https://files.example.org/files/',
      ),
      v.description(
        'the address below which clients reach `/files/` of the endpoint `http`, with a slash at its end, where that is not as the endpoint says; {domain} stands for the domain of the account',
      ),
    ),
  ),
  'file-size': v.pipe(size('100MiB'), v.description('how large a file may be')),
  'account-quota': v.optional(
    v.pipe(sizeOrNone, v.description('what the files of one account may take together; or `none`')),
    '2GiB',
  ),
  'daily-quota': v.optional(
    v.pipe(sizeOrNone, v.description('how much one account may upload in 24 hours, deleted files included; or `none`')),
    '1GiB',
  ),
  'when-full': v.optional(
    v.pipe(
      v.picklist(['refuse', 'oldest-go']),
      v.description(
        'what becomes of a file for which the account has no room: it is refused, or the oldest ones are deleted',
      ),
    ),
    'refuse',
  ),
  'expires-after': v.optional(v.pipe(expiry, v.description('how long files are kept; or `never`')), '30d'),
  'profile-size': v.pipe(
    size('1MiB'),
    v.description('how large a file for the profile may be, such as an avatar: these do not expire'),
  ),
  'slot-lifetime': v.pipe(
    duration('10m'),
    v.description('how soon an upload has to begin after a client has asked for it'),
  ),
  types: v.optional(
    v.pipe(typePatterns, v.description('the types that may be uploaded, such as image/png or image/*; all if empty')),
    [],
  ),
  'limited-accounts': v.optional(
    v.pipe(v.boolean(), v.description('accounts with the role `limited` may upload, too')),
    false,
  ),
})
type Settings = v.InferOutput<typeof config>

export const httpUpload = chatFeature({
  name: 'http-upload',
  summary: 'Takes files to share, and gives them to whoever knows their address.',
  config,

  async attach(host, settings, scope) {
    const desk = new SlotDesk(scope, host, settings)
    // At our own domains there is a host already.
    const { url } = settings
    if (url !== undefined) scope.find(webConnections)?.filesAt(scope, (domain) => url.replaceAll('{domain}', domain))
    if (settings.domain === '{domain}') desk.serve(host.iq, host.disco, 'host')
    else await openServices(scope, settings.domain, (place, inner) => openDesk(inner, place, settings, desk))

    host.command({
      node: 'urn:aviso:files',
      name: 'Your uploaded files',
      access: 'account',
      run: ({ account }) => desk.filesOf(account),
    })
  },
})

function openDesk(scope: Scope, place: ServicePlace, { name }: Settings, desk: SlotDesk): void {
  const service = openService(scope, {
    ...place,
    name,
    identities: [{ category: 'store', type: 'file' }],
    message() {
      throw StanzaError.of('service-unavailable')
    },
    presence: () => {},
  })
  desk.serve(service.iq, service.disco, 'service')
}

/** Gives slots for one set of domains. */
class SlotDesk {
  readonly #scope: Scope
  readonly #host: Host
  readonly #settings: Settings
  readonly #shelf: Shelf
  readonly #counted

  constructor(scope: Scope, host: Host, settings: Settings) {
    this.#scope = scope
    this.#host = host
    this.#settings = settings
    this.#shelf = scope.use(Files)
    this.#counted = scope.metrics.counter('aviso_chat_file_slots', 'Requests for a place to upload to, by outcome', [
      'outcome',
    ])
  }

  serve(iq: IqHandlers, disco: Disco, subject: 'host' | 'service'): void {
    for (const feature of [UPLOAD, ...['message', 'profile', 'ephemeral'].map((purpose) => `${PURPOSE}#${purpose}`)])
      disco.feature(feature, [subject])
    disco.form(
      result({ formType: UPLOAD }, [
        { name: 'max-file-size', type: 'text-single', values: [String(this.#settings['file-size'])] },
      ]),
    )
    iq.get(UPLOAD, 'request', [subject], (request) => this.#give(request))
  }

  async #give(iq: IqRequest): Promise<Element> {
    const account = await this.#uploader(iq)
    const base = this.#base(account.domain)
    const wish = this.#wish(iq.payload)
    const { 'account-quota': quota, 'daily-quota': day, 'when-full': full, 'slot-lifetime': lifetime } = this.#settings
    const limits = { account: quota, day, oldestGo: full === 'oldest-go' }
    const answer = await this.#shelf.reserve(account, wish, limits, lifetime).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error
      throw StanzaError.of('resource-constraint', 'this does not work now: try again later', { cause: error })
    })
    this.#counted.inc({ outcome: answer.kind })
    switch (answer.kind) {
      case 'given': {
        const url = `${base}${answer.id}/${encodeURIComponent(wish.name)}`
        const header = el('header', { name: 'Authorization' }, `Bearer ${answer.ticket}`)
        return iq.result(el('slot', { xmlns: UPLOAD }, el('put', { url }, header), el('get', { url })))
      }
      case 'day':
        throw StanzaError.of('resource-constraint', 'you have uploaded as much as you may in a day', {
          app: el('retry', { xmlns: UPLOAD, stamp: new Date(answer.retry).toISOString() }),
        })
      case 'account':
        throw new StanzaError('cancel', 'resource-constraint', 'your files take as much room as they may: delete some')
      case 'server':
        throw StanzaError.of('resource-constraint', 'the server has no room for more files')
    }
  }

  async #uploader({ origin }: IqRequest): Promise<Account> {
    const { session } = origin
    if (session === undefined || !this.#host.covers(session.account.account.domain)) throw StanzaError.of('forbidden')
    // As of now: the role may have changed since the log-in.
    const account = await this.#host.accounts.byId(session.account.account.id)
    if (account === undefined || account.disabled) throw StanzaError.of('forbidden')
    if (account.role === 'limited' && !this.#settings['limited-accounts'])
      throw StanzaError.of('forbidden', 'this account may not upload files')
    return account
  }

  /** The address below which files are. */
  #base(domain: string): string {
    const { url } = this.#settings
    if (url !== undefined) return url.replaceAll('{domain}', domain)
    const origin = this.#scope.find(Web)?.url(domain)
    if (origin === undefined) throw StanzaError.of('service-unavailable', 'the web is not served here')
    return `${origin}${FILES_PATH}`
  }

  #wish(request: Element): Wish {
    const name = fileName(request.get('filename') ?? '')
    if (name === undefined) throw StanzaError.of('bad-request', 'this cannot be the name of a file')
    const given = request.get('content-type')
    const type = given === undefined ? '' : mediaType(given)
    if (type === undefined) throw StanzaError.of('bad-request', 'this is no content type')
    const octets = /^[1-9]\d{0,14}$/.test(request.get('size') ?? '') ? Number(request.get('size')) : undefined
    if (octets === undefined)
      throw StanzaError.of('bad-request', 'the size is a number of octets, and no file is empty')
    const { types, 'expires-after': time, 'file-size': most, 'profile-size': mostOfProfile } = this.#settings
    if (types.length > 0 && !typeIsAmong(type, types))
      throw StanzaError.of('not-acceptable', 'files of this type are not taken')
    const profile = request.child('profile', PURPOSE) !== undefined
    const limit = profile ? Math.min(most, mostOfProfile) : most
    if (octets > limit)
      throw StanzaError.of('not-acceptable', `the file is too large: at most ${limit} octets are taken`, {
        app: el('file-too-large', { xmlns: UPLOAD }, el('max-file-size', {}, String(limit))),
      })
    const now = this.#scope.clock.now()
    const expires = time === undefined ? undefined : now + time
    const ephemeral = request.child('ephemeral', PURPOSE)
    if (profile) return { name, type, size: octets, purpose: 'profile', expires: undefined }
    if (ephemeral === undefined) return { name, type, size: octets, purpose: 'message', expires }
    const before = readDateTime(ephemeral.get('expire-before') ?? '')
    if (before === undefined || before <= now)
      throw StanzaError.of('bad-request', 'expire-before is a point in time to come')
    return { name, type, size: octets, purpose: 'ephemeral', expires: Math.min(before, expires ?? before) }
  }

  /** The command by which somebody sees and deletes what he uploaded. */
  async filesOf({ id }: Account): Promise<Stage> {
    const files = await this.#shelf.list({ account: id, before: Number.MAX_SAFE_INTEGER, limit: SHOWN })
    if (files.length === 0) return finished('You have no uploaded files.')
    const options = files.map((file) => ({
      value: file.id,
      label: `${file.name} (${file.size} octets, ${new Date(file.at).toISOString().slice(0, 10)})`,
    }))
    return {
      form: form({ title: 'Your uploaded files', instructions: 'Choose those that are to be deleted.' }, [
        { name: 'files', type: 'list-multi', label: 'Files', options },
      ]),
      next: async (filled) => {
        const deleted = await this.#shelf.delete(filled.list('files').slice(0, SHOWN), id)
        return finished(`${deleted} deleted.`)
      },
    }
  }
}
