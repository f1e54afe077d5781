import { MemoryMail, testBackend } from '../src/testing/index.ts'

testBackend(
  'memory',
  () => {
    const users = new Map<string, MemoryMail>()
    const anna = new MemoryMail({ name: 'anna', users })
    const bob = new MemoryMail({ name: 'bob', users })
    return {
      open: async () => anna.open(),
      openOther: async () => bob.open(),
      limitStorage: async (limit) => anna.limit('STORAGE', limit),
    }
  },
  { expects: ['quota', 'metadata', 'acl'] },
)

testBackend('memory with special-use mailboxes', () => {
  const mail = new MemoryMail({
    mailboxes: { Sent: 'Sent', Trash: 'Trash', Archive: 'Archive', Junk: 'Junk', Drafts: 'Drafts' },
  })
  return { open: async () => mail.open() }
})
