// RFC 3463: what an enhanced status code means for whoever wrote the mail, and what there is to do.

const ADVICE: readonly (readonly [code: RegExp, text: string])[] = [
  [
    /^5\.1\.(?:1|6)$/,
    'There is no such address there. Look for a typing error, or ask the recipient for the right one.',
  ],
  [/^[45]\.1\.2$/, 'The domain behind the @ takes no mail. Look for a typing error.'],
  [/^5\.1\.10$/, 'That domain takes no mail at all.'],
  [/^[45]\.2\.1$/, 'That mailbox is switched off.'],
  [/^[45]\.2\.2$/, 'The mailbox is full. Try again when the recipient has made room.'],
  [/^[45]\.(?:2\.3|3\.4)$/, 'The mail is too big. Send less at once, or a link instead of the attachment.'],
  [/^[45]\.4\.6$/, 'The mail went in circles: a forwarding is set up wrongly at the recipient’s side.'],
  [
    /^4\.4\.\d+$/,
    'The server for that address could not be reached. Look for a typing error in the domain, or try again later.',
  ],
  [/^5\.4\.\d+$/, 'No way to a server for that address is known. Look for a typing error in the domain.'],
  [
    /^[45]\.6\.\d+$/,
    'The other server cannot read mail of this form. Try it without special characters in the address, or as plain text.',
  ],
  [/^[45]\.7\.(?:10|30)$/, 'The way to the recipient is not protected as the mail demands.'],
  [
    /^[45]\.7\.\d+$/,
    'The other server does not want this mail: its rules are against it. If you think that they should not be, ask the recipient another way.',
  ],
  [/^4\.\d+\.\d+$/, 'The other server could not take it in all that time. Try again later.'],
]

/** One or two sentences; undefined when nothing is known that would help. `remote`: another server said so. */
export function advice(status: string, remote: boolean): string | undefined {
  const found = ADVICE.find(([code]) => code.test(status))?.[1]
  return !remote && found?.startsWith('The other server') === true ? undefined : found
}
