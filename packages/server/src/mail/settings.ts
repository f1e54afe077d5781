// What every room of the mail house knows of the server it stands in.

import { serviceKey } from '../kernel/scope.ts'

export interface MailSettings {
  /** Our name in EHLO, Received and greetings. */
  readonly hostname: string
  /** Octets of the largest mail taken, by SMTP and by APPEND. */
  readonly maxMessageSize: number
}

export const MailSettings = serviceKey<MailSettings>('mail-settings')
