// Mail as it comes: made from its number alone, so that every run sends the same.

const WORDS =
  'the harbour lay quiet that morning and nobody had yet asked why two ships were missing from the list that the pilot kept'.split(
    ' ',
  )

/** A plain text mail of about `octets`, CRLF line ends, nothing to dot-stuff. */
export function sampleMail(number: number, octets: number, to: string): Buffer {
  const text =
    headers(number, to) + 'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n'
  return Buffer.from(text + prose(number, octets - text.length), 'latin1')
}

/** A mail with a text, an HTML part and an attachment. */
export function multipartMail(number: number, octets: number, to: string): Buffer {
  const boundary = `=_bench_${number}`
  const part = (type: string, body: string): string => `--${boundary}\r\n${type}\r\n\r\n${body}\r\n`
  const third = Math.max(200, Math.floor(octets / 3))
  return Buffer.from(
    headers(number, to) +
      `Content-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n` +
      part('Content-Type: text/plain; charset=utf-8', prose(number, third)) +
      part('Content-Type: text/html; charset=utf-8', `<p>${prose(number + 1, third)}</p>`) +
      part(
        `Content-Type: application/octet-stream; name="list-${number}.bin"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="list-${number}.bin"`,
        Buffer.from(prose(number + 2, Math.floor(third * 0.7)), 'latin1')
          .toString('base64')
          .replace(/.{76}/g, '$&\r\n'),
      ) +
      `--${boundary}--\r\n`,
    'latin1',
  )
}

function headers(number: number, to: string): string {
  const date = new Date(Date.UTC(2024, 0, 1) + number * 61_000).toUTCString().replace('GMT', '+0000')
  return (
    `From: "Sender ${number % 50}" <sender${number % 50}@elsewhere.example>\r\nTo: <${to}>\r\n` +
    `Subject: ${prose(number, 40).trim().replaceAll('\r\n', ' ')}\r\nDate: ${date}\r\n` +
    `Message-ID: <bench.${number}@elsewhere.example>\r\nMIME-Version: 1.0\r\nUser-Agent: bench\r\n`
  )
}

/** Lines of words that differ by `number`, so that nothing downstream sees the same octets twice. */
function prose(number: number, octets: number): string {
  let text = ''
  let line = `${number}.`
  for (let word = number * 7; text.length + line.length < octets; word++) {
    line += ` ${WORDS[(word * 31 + (word >> 3)) % WORDS.length] ?? ''}`
    if (line.length > 66) {
      text += `${line}\r\n`
      line = String(word % 97)
    }
  }
  return `${text}${line}\r\n`
}
