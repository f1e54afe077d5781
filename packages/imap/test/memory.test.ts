import { MemoryMail, testBackend } from '../src/testing/index.ts'

testBackend('memory', () => {
  const mail = new MemoryMail()
  return { open: async () => mail.open() }
})

testBackend('memory with special-use mailboxes', () => {
  const mail = new MemoryMail({
    mailboxes: { Sent: 'Sent', Trash: 'Trash', Archive: 'Archive', Junk: 'Junk', Drafts: 'Drafts' },
  })
  return { open: async () => mail.open() }
})
