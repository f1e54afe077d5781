// After a crash: what the server counts is what there is.

import type { ImapClient } from '@aviso/imap'

/** Compares STATUS of each mailbox, and the quota, with the messages. `clocks` holds the highest HIGHESTMODSEQ that was seen, by account and mailbox. */
export async function verifyCounters(
  client: ImapClient,
  account: string,
  clocks: Map<string, number>,
  fault: (text: string) => void,
): Promise<void> {
  const listed = await client.command('LIST "" "*"')
  const names = listed.untagged.flatMap(({ text }) => {
    const [, attributes = '', name] = /^LIST \(([^)]*)\) "\/" "?([^"]+)"?$/.exec(text) ?? []
    return name === undefined || /\\No(?:Select|nExistent)/i.test(attributes) ? [] : [name]
  })
  if (!names.includes('INBOX')) fault(`${account}: LIST tells no INBOX, but ${names.join(', ')}`)
  let [messages, octets] = [0, 0]
  const mailboxes = names.length
  for (const name of names) {
    const status = await client.command(`STATUS ${name} (MESSAGES UNSEEN SIZE DELETED HIGHESTMODSEQ UIDNEXT)`)
    const line = status.untagged.find(({ text }) => text.startsWith('STATUS '))?.text ?? ''
    const told = (item: string): number => Number(new RegExp(`[( ]${item} (\\d+)`).exec(line)?.[1])
    const clock = told('HIGHESTMODSEQ')
    const key = `${account} ${name}`
    if (!(clock >= (clocks.get(key) ?? 0))) fault(`${key}: HIGHESTMODSEQ went back to ${clock}`)
    clocks.set(key, clock)
    await client.command(`EXAMINE ${name}`)
    const lines = told('UIDNEXT') > 1 ? await client.fetch('1:*', '(UID FLAGS RFC822.SIZE MODSEQ)', true) : []
    const rows = lines.filter(({ text }) => /RFC822\.SIZE/.test(text))
    const sizes = rows.map(({ text }) => Number(/RFC822\.SIZE (\d+)/.exec(text)?.[1]))
    const size = sizes.reduce((sum, one) => sum + one, 0)
    const unseen = rows.filter(({ text }) => !text.includes('\\Seen')).length
    const deleted = rows.filter(({ text }) => text.includes('\\Deleted')).length
    const counted = [rows.length, unseen, size, deleted].join(' ')
    const said = ['MESSAGES', 'UNSEEN', 'SIZE', 'DELETED'].map(told).join(' ')
    if (counted !== said) fault(`${key}: messages, unseen, octets, deleted are ${counted}, STATUS says ${said}`)
    for (const { text } of rows)
      if (!(Number(/MODSEQ \((\d+)\)/.exec(text)?.[1]) <= clock))
        fault(`${key}: above its HIGHESTMODSEQ ${clock}: ${text}`)
    messages += rows.length
    octets += size
  }
  const quota = (await client.command('GETQUOTA ""')).untagged.map(({ text }) => text).join(' ')
  // Limits are set, so that all three are told (RFC 9208 §4.2.1).
  const used = ['MESSAGE', 'STORAGE', 'MAILBOX'].map((resource) =>
    Number(new RegExp(`[( ]${resource} (\\d+) `).exec(quota)?.[1]),
  )
  const held = [messages, Math.ceil(octets / 1024), mailboxes]
  if (used.some((one, i) => one !== held[i]))
    fault(`${account}: the quota counts ${used.join(' ')}, there are ${held.join(' ')}`)
}
