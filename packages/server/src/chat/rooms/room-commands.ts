// XEP-0050: what administrators of the server do with rooms from a chat client

import { finished } from '../core/commands.ts'
import type { Host } from '../core/contracts.ts'
import type { Field } from '../core/forms.ts'
import { adminCommand, ask, byAccounts, jid, needed } from '../features/admin-forms.ts'
import type { RoomAdmin } from './administration.ts'
import { AFFILIATIONS } from './contracts.ts'

const REASON: Field = { name: 'reason', type: 'text-single', label: 'Reason' }

export function offerCommands(host: Host, rooms: RoomAdmin): void {
  host.command(
    adminCommand('rooms-destroy', 'Destroy rooms', () =>
      ask('Destroy rooms', [jid('rooms', 'Rooms', true), REASON], async (filled) => {
        needed(filled, 'rooms')
        const reason = filled.text('reason') ?? ''
        for (const address of filled.list('rooms')) await byAccounts(rooms.destroy({ address, reason }))
        return finished('They are no more.')
      }),
    ),
  )
  const fields: readonly Field[] = [
    jid('room', 'Room'),
    jid('jid', 'Address'),
    {
      name: 'affiliation',
      type: 'list-single',
      label: 'Affiliation',
      required: true,
      values: ['member'],
      options: AFFILIATIONS.map((value) => ({ value })),
    },
    REASON,
  ]
  host.command(
    adminCommand('rooms-affiliation', 'Change an affiliation in a room', () =>
      ask('Change an affiliation in a room', fields, async (filled) => {
        const address = needed(filled, 'room')
        const change = {
          jid: needed(filled, 'jid'),
          affiliation: needed(filled, 'affiliation'),
          reason: filled.text('reason') ?? '',
        }
        await byAccounts(rooms.affiliate({ address, ...change }))
        return finished('It is changed.')
      }),
    ),
  )
}
