// A certificate for a server that has none yet: its own key, signed by itself (RFC 5280).

import { createHash, generateKeyPair, randomBytes, sign, type KeyObject, type X509Certificate } from 'node:crypto'
import { mkdir, open, rename } from 'node:fs/promises'
import { isIP, isIPv4 } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import { readKeyPair, type CertificateFiles } from './certificate-files.ts'
import { integer, oid, sequence, set, time, tlv, utf8 } from './der.ts'
import { StartError } from './start-error.ts'

const YEARS = 10
const RENEW_BEFORE = 30 * 86_400_000

/**
 * The self-signed certificate in `folder` (`self-signed.crt`, `self-signed.key`), made when it is not there, does not cover `names`, or is about to end. The names
 * are DNS names or IP addresses; localhost, 127.0.0.1 and ::1 are always covered. The certificate's file can be given to clients as their CA file.
 * Rejects with a StartError when the folder cannot be written.
 */
export async function selfSignedCertificate(
  folder: string,
  names: readonly string[],
  now: number,
): Promise<CertificateFiles> {
  const files = { certificate: path.join(folder, 'self-signed.crt'), key: path.join(folder, 'self-signed.key') }
  const wanted = [...new Set([...names.map((name) => name.toLowerCase()), 'localhost', '127.0.0.1', '::1'])]
  const present = await readKeyPair(files).catch(() => undefined)
  if (
    present !== undefined &&
    present.notAfter - now > RENEW_BEFORE &&
    wanted.every((name) => covers(present.leaf, name))
  )
    return files
  const made = await makeSelfSigned(wanted, now)
  try {
    await mkdir(folder, { recursive: true, mode: 0o750 })
    await writeSafely(files.key, made.key, 0o600)
    await writeSafely(files.certificate, made.certificate, 0o600)
  } catch (error) {
    throw new StartError(
      `the self-signed certificate cannot be written to ${folder} (${(error as Error).message}). Let this folder be written by the server's user, or name a certificate in the setting tls.`,
      { cause: error },
    )
  }
  return files
}

const covers = (certificate: X509Certificate, name: string): boolean =>
  (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined

/** Whole or not at all, also after a power cut: written beside, synced, renamed. */
async function writeSafely(file: string, text: string, mode: number): Promise<void> {
  const beside = `${file}.new`
  const handle = await open(beside, 'w', mode)
  try {
    await handle.chmod(mode)
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(beside, file)
}

/** Makes an EC P-256 key and a certificate for `names` (DNS names and IP addresses) that is valid for ten years from a day before `now`. Both PEM. */
export async function makeSelfSigned(
  names: readonly string[],
  now: number,
): Promise<{ certificate: string; key: string }> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  const der = certificateDer(names, publicKey, privateKey, now)
  const base64 = der.toString('base64').replace(/.{1,64}/g, '$&\n')
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function certificateDer(names: readonly string[], publicKey: KeyObject, privateKey: KeyObject, now: number): Buffer {
  const algorithm = sequence(oid(1, 2, 840, 10045, 4, 3, 2)) // ecdsa-with-SHA256
  const publicInfo = publicKey.export({ type: 'spki', format: 'der' })
  const keyId = createHash('sha1').update(publicInfo).digest()
  // RFC 5280 app. A: a common name has at most 64 characters.
  const subject = sequence(set(sequence(oid(2, 5, 4, 3), utf8((names[0] ?? 'localhost').slice(0, 64)))))
  const from = new Date(now - 86_400_000)
  const until = new Date(from)
  until.setUTCFullYear(from.getUTCFullYear() + YEARS)
  const serial = randomBytes(16)
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const extensions = sequence(
    // CA:TRUE, so that clients can take it as their CA file.
    extension([2, 5, 29, 19], true, sequence(tlv(0x01, Buffer.of(0xff)))),
    // digitalSignature (bit 0) and keyCertSign (bit 5)
    extension([2, 5, 29, 15], true, tlv(0x03, Buffer.of(2, 0b10000100))),
    extension([2, 5, 29, 37], false, sequence(oid(1, 3, 6, 1, 5, 5, 7, 3, 1), oid(1, 3, 6, 1, 5, 5, 7, 3, 2))),
    extension([2, 5, 29, 17], false, sequence(...names.map(generalName))),
    extension([2, 5, 29, 14], false, tlv(0x04, keyId)),
    extension([2, 5, 29, 35], false, sequence(tlv(0x80, keyId))),
  )
  const body = sequence(
    tlv(0xa0, integer(Buffer.of(2))), // version 3
    integer(serial),
    algorithm,
    subject,
    sequence(time(from), time(until)),
    subject,
    publicInfo,
    tlv(0xa3, extensions),
  )
  return sequence(body, algorithm, tlv(0x03, Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)])))
}

const extension = (id: readonly number[], critical: boolean, value: Buffer): Buffer =>
  sequence(oid(...id), ...(critical ? [tlv(0x01, Buffer.of(0xff))] : []), tlv(0x04, value))

/** RFC 5280 §4.2.1.6: dNSName [2] or iPAddress [7]. */
const generalName = (name: string): Buffer =>
  isIP(name) === 0 ? tlv(0x82, Buffer.from(name, 'ascii')) : tlv(0x87, addressOctets(name))

function addressOctets(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  // The URL parser writes any IPv6 address in its one short form, IPv4 tails included.
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16))
  const [front, back] = [words(head), words(tail)]
  const all = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back]
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 0xff]))
}
