// XEP-0133 §4.24-4.26: the message of the day

import { el } from '@aviso/xmpp'
import * as v from 'valibot'
import { type Command, finished } from '../core/commands.ts'
import { chatFeature } from '../core/contracts.ts'
import { adminCommand, ask, neededLines } from './admin-forms.ts'
import { Notice } from './notice.ts'

export const motd = chatFeature({
  name: 'motd',
  summary: 'Says something to everybody who comes online.',
  config: v.strictObject({
    text: v.optional(
      v.pipe(v.string(), v.description('what is said as long as no administrator has set another text')),
    ),
  }),

  async attach(host, config, scope) {
    const notice = await Notice.open(scope, host.store, 'motd', config.text)
    host.hooks.available.on(({ session, first }) => {
      if (!first || notice.text === undefined) return
      const { domain } = session.jid
      session.send(el('message', { from: domain, to: session.full, type: 'headline' }, el('body', {}, notice.text)))
    })

    for (const command of noticeCommands('motd', 'message of the day', notice)) host.command(command)
  },
})

/** `set-…`, `edit-…` and `delete-…` of a text. */
export const noticeCommands = (name: 'motd' | 'welcome', label: string, notice: Notice): readonly Command[] => {
  const set = (node: string, title: string): Command =>
    adminCommand(node, title, () =>
      ask(
        title,
        [{ name, type: 'text-multi', label: title, required: true, values: notice.text?.split('\n') ?? [] }],
        async (filled) => {
          await notice.set(neededLines(filled, name))
          return finished(`The ${label} was set.`)
        },
      ),
    )
  return [
    set(`set-${name}`, `Set the ${label}`),
    ...(name === 'motd' ? [set(`edit-${name}`, `Edit the ${label}`)] : []),
    adminCommand(`delete-${name}`, `Delete the ${label}`, async () => {
      await notice.set(undefined)
      return finished(`The ${label} was deleted.`)
    }),
  ]
}
