// A mail store on an existing Maildir: Maildir++ or nested folders, with Dovecot's list of UIDs and its keywords.

export { MaildirMail, type MaildirOptions } from './account.ts'
export { Files } from './files.ts'
export type { LayoutName } from './layout.ts'
