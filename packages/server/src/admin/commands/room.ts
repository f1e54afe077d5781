// aviso room ...

import { createReadStream, createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import { Command } from 'commander'
import type { ExportedMessage, ExportedRoom, RoomReport } from '../../chat/administration.ts'
import { printable, several } from '../arguments.ts'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { show, table, UsageError, when } from '../terminal.ts'

/** Messages that are imported at once. */
const AT_ONCE = 200

export function roomCommand(programme: Programme): Command {
  const room = new Command('room').description('rooms where many talk with each other')

  common(room.command('list').description('all rooms of a service, hidden ones too'))
    .option('--domain <domain>', 'the domain of the service, where there are several')
    .option('--after <name>', 'rooms behind this name')
    .action(
      async ({ domain, after, ...options }: CommonOptions & { readonly domain?: string; readonly after?: string }) => {
        const args = { ...(domain !== undefined && { domain }), ...(after !== undefined && { after }) }
        const rooms = await withAdmin(programme, options, (admin) => admin.ask('room.list', args))
        show(options.json === true, rooms, () =>
          table(
            ['room', 'occupants', 'name'],
            rooms.map(({ address, title, occupants }) => [address, String(occupants), printable(title)]),
          ),
        )
      },
    )

  common(room.command('show <room>').description('settings, affiliations and occupants of a room')).action(
    async (address: string, options: CommonOptions) => {
      const found = await withAdmin(programme, options, (admin) => admin.ask('room.show', { address }))
      show(options.json === true, found, () => described(found))
    },
  )

  common(room.command('create <room>').description('make a room that stays'))
    .requiredOption('--owner <address>', 'who owns it')
    .option('--title <text>', 'its name, as clients show it')
    .action(
      async (
        address: string,
        { owner, title, ...options }: CommonOptions & { readonly owner: string; readonly title?: string },
      ) => {
        const made = await withAdmin(programme, options, (admin) =>
          admin.ask('room.create', { address, owner, ...(title !== undefined && { title }) }),
        )
        show(options.json === true, made, () => `The room ${made.address} is there.`)
      },
    )

  common(room.command('destroy <room>').description('end a room; its archive goes too'))
    .option('--reason <text>', 'what its occupants, and those who look for it later, are told')
    .option('--venue <room>', 'the room to go to instead')
    .action(
      async (
        address: string,
        { reason, venue, ...options }: CommonOptions & { readonly reason?: string; readonly venue?: string },
      ) => {
        await withAdmin(programme, options, (admin) =>
          admin.ask('room.destroy', {
            address,
            ...(reason !== undefined && { reason }),
            ...(venue !== undefined && { venue }),
          }),
        )
        show(options.json === true, { address }, () => `The room ${address} is no more.`)
      },
    )

  common(
    room
      .command('config <room> [changes...]')
      .description('change settings, such as membersOnly=true; `room show` has their names'),
  ).action(async (address: string, changes: readonly string[], options: CommonOptions) => {
    const found = await withAdmin(programme, options, async (admin) => {
      const before = await admin.ask('room.show', { address })
      const wished = Object.fromEntries(changes.map((change) => changeOf(change, before.config)))
      return changes.length === 0 ? before : admin.ask('room.config', { address, changes: wished })
    })
    show(options.json === true, found, () => settings(found))
  })

  common(
    room.command('affiliation <room> <address> <affiliation>').description('owner, admin, member, none or outcast'),
  )
    .option('--nick <nick>', "a nick that is his own; '' takes it back")
    .option('--reason <text>', 'why, for outcasts')
    .option(
      '--hat <uri=title>',
      'a title that he wears, may be given more than once; takes the place of those before',
      several,
    )
    .action(
      async (
        address: string,
        jid: string,
        affiliation: string,
        {
          nick,
          reason,
          hat,
          ...options
        }: CommonOptions & { readonly nick?: string; readonly reason?: string; readonly hat?: readonly string[] },
      ) => {
        await withAdmin(programme, options, (admin) =>
          admin.ask('room.affiliation', {
            address,
            jid,
            affiliation,
            ...(nick !== undefined && { nick }),
            ...(reason !== undefined && { reason }),
            ...(hat !== undefined && { hats: hat.map(hatOf) }),
          }),
        )
        show(options.json === true, { address, jid, affiliation }, () => `${jid} is ${affiliation} of ${address} now.`)
      },
    )

  common(
    room
      .command('export <room> <file>')
      .description('settings, affiliations and archive, a line of JSON for each message'),
  ).action(async (address: string, file: string, options: CommonOptions) => {
    const messages = await withAdmin(programme, options, async (admin) => {
      const { config, subject, affiliations } = await admin.ask('room.show', { address })
      const exported: ExportedRoom = { config, ...(subject !== undefined && { subject }), affiliations }
      const out = createWriteStream(file, { mode: 0o600, flags: 'wx' })
      out.write(`${JSON.stringify(exported)}\n`)
      let count = 0
      let after: string | undefined
      for (;;) {
        const page = await admin.ask('room.messages', { address, ...(after !== undefined && { after }) })
        for (const message of page) out.write(`${JSON.stringify(message)}\n`)
        count += page.length
        after = page.at(-1)?.id
        if (after === undefined) break
      }
      out.end()
      await finished(out)
      return count
    })
    show(options.json === true, { address, messages }, () => `${address}: ${messages} messages.`)
  })

  common(room.command('import <room> <file>').description('make a room of what was exported')).action(
    async (address: string, file: string, options: CommonOptions) => {
      const messages = await withAdmin(programme, options, async (admin) => {
        let count = 0
        let pile: ExportedMessage[] = []
        let made = false
        const put = async (): Promise<void> => {
          if (pile.length > 0) await admin.ask('room.import-messages', { address, messages: pile })
          count += pile.length
          pile = []
        }
        for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
          if (line === '') continue
          if (made) pile.push(lineOf<ExportedMessage>(line, file))
          else await admin.ask('room.import', { address, room: lineOf<ExportedRoom>(line, file) })
          made = true
          if (pile.length >= AT_ONCE) await put()
        }
        await put()
        return count
      })
      show(options.json === true, { address, messages }, () => `${address}: ${messages} messages.`)
    },
  )
  return room
}

/** The operations look at what it really is. */
function lineOf<T>(line: string, file: string): T {
  try {
    return JSON.parse(line) as T
  } catch {
    throw new UsageError(`${file} is no export of a room`)
  }
}

function changeOf(change: string, config: RoomReport['config']): readonly [string, unknown] {
  const at = change.indexOf('=')
  const name = change.slice(0, at)
  const text = change.slice(at + 1)
  const before = Object.entries(config).find(([key]) => key === name)?.[1]
  if (at < 1 || before === undefined)
    throw new UsageError(`'${change}' is no setting; there are ${Object.keys(config).join(', ')}`)
  if (typeof before === 'boolean') {
    if (text !== 'true' && text !== 'false') throw new UsageError(`${name} is true or false`)
    return [name, text === 'true']
  }
  if (typeof before === 'number') {
    if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${name} is a whole number`)
    return [name, Number(text)]
  }
  if (!Array.isArray(before)) return [name, text]
  const several = text.split(',').filter((each) => each !== '')
  return [name, name === 'hats' ? several.map(hatOf) : several]
}

function hatOf(text: string): { readonly uri: string; readonly title: string } {
  const at = text.indexOf('=')
  if (at < 1) throw new UsageError(`'${text}' is no hat, such as https://example.org/hats/host=Host`)
  return { uri: text.slice(0, at), title: text.slice(at + 1) }
}

const settings = ({ config }: RoomReport): string =>
  table(
    ['setting', 'value'],
    Object.entries(config).map(([name, value]) => [
      name,
      printable(
        name === 'password' && value !== '' ? '(set)' : Array.isArray(value) ? value.map(wordOf).join() : String(value),
      ),
    ]),
  )

/** One of several in a setting: as `config` takes it. */
const wordOf = (value: RoomReport['config']['hats' | 'broadcast'][number]): string =>
  typeof value === 'string' ? value : `${value.uri}=${value.title}`

function described(found: RoomReport): string {
  const { address, subject, locked, affiliations, occupants } = found
  const parts = [
    `${address}${locked ? ' (not configured yet)' : ''}`,
    settings(found),
    table(
      ['address', 'affiliation', 'nick', 'reason'],
      affiliations.map(({ jid, affiliation, nick, reason }) => [jid, affiliation, printable(nick), printable(reason)]),
    ),
    table(
      ['nick', 'role', 'client'],
      occupants.map(({ nick, role, jid }) => [printable(nick), role, jid]),
    ),
  ]
  if (subject !== undefined)
    parts.splice(1, 0, `${printable(subject.text)} (${printable(subject.nick)}, ${when(subject.at)})`)
  return parts.join('\n\n')
}
