// Certificates and keys as they lie on disk, and what can be wrong with them.

import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import path from 'node:path'
import { StartError } from './start-error.ts'

/** Where a certificate and its key lie. */
export interface CertificateFiles {
  /** PEM: the server's certificate first, then the intermediate ones. */
  readonly certificate: string
  /** PEM; may be the same file. */
  readonly key: string
  readonly passphrase?: string | undefined
}

/** A certificate and its key, read and found to belong together. */
export interface KeyPair {
  readonly files: CertificateFiles
  /** The chain as it goes to clients. */
  readonly certificate: string
  readonly key: KeyObject
  readonly leaf: X509Certificate
  /** DNS names in lower case, wildcards as `*.example.org`. */
  readonly names: readonly string[]
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

/** Reads a certificate and its key. Rejects with a StartError that names the file, what is wrong and the remedy. */
export async function readKeyPair(files: CertificateFiles): Promise<KeyPair> {
  const certificate = await readPem(files.certificate, 'certificate')
  const keyText = files.key === files.certificate ? certificate : await readPem(files.key, 'private key')
  const chain = parseChain(files.certificate, certificate)
  const key = parseKey(files, keyText)
  const leaf = chain[0]
  if (leaf === undefined || !leaf.checkPrivateKey(key)) throw mismatch(files, chain, key)
  return {
    files,
    certificate: chain.map((one) => one.toString()).join(''),
    key,
    leaf,
    names: certificateNames(leaf),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
  }
}

/**
 * Finds the pairs in a folder: `NAME.crt` or `NAME.pem` beside `NAME.key`, a `NAME.pem` that holds both, and certbot's `NAME/fullchain.pem` with `NAME/privkey.pem`.
 * Sorted by name. Rejects with a StartError when the folder cannot be read or holds none.
 */
export async function findCertificates(folder: string): Promise<CertificateFiles[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw unreadable(folder, 'folder of certificates', error)
  })
  const names = new Set(entries.map((entry) => entry.name))
  const found: CertificateFiles[] = []
  for (const name of [...names].sort()) {
    const { ext, name: stem } = path.parse(name)
    if (ext === '.crt' || ext === '.pem') {
      const key = names.has(`${stem}.key`) ? `${stem}.key` : name
      // A lone certificate (a CA's, say) is no pair; a lone file counts only when it holds a key too.
      if (key === name && !(await holdsBoth(path.join(folder, name)))) continue
      if (found.some((files) => files.key === path.join(folder, key))) continue
      found.push({ certificate: path.join(folder, name), key: path.join(folder, key) })
    } else if (ext !== '.key') {
      const inner = await readdir(path.join(folder, name)).catch((): string[] => [])
      if (inner.includes('fullchain.pem') && inner.includes('privkey.pem')) {
        found.push({
          certificate: path.join(folder, name, 'fullchain.pem'),
          key: path.join(folder, name, 'privkey.pem'),
        })
      }
    }
  }
  if (found.length > 0) return found
  throw new StartError(
    `the folder ${folder} holds no certificate with its key. Put NAME.crt and NAME.key (or NAME/fullchain.pem and NAME/privkey.pem) there, or name the files in the setting tls.certificates.`,
  )
}

/** The DNS names of a certificate, in lower case; its common name where it has no alternative names (RFC 6125 §6.4.4). */
export function certificateNames(certificate: X509Certificate): string[] {
  const names = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((name) => name.startsWith('DNS:') && !name.includes('"'))
    .map((name) => name.slice(4).toLowerCase())
  if (certificate.subjectAltName !== undefined) return names
  const common = /^CN=(\S+)$/m.exec(certificate.subject)?.[1]
  return common === undefined ? [] : [common.toLowerCase()]
}

async function holdsBoth(file: string): Promise<boolean> {
  const text = await readFile(file, 'latin1').catch(() => '')
  return text.includes('PRIVATE KEY-----') && text.includes('-----BEGIN CERTIFICATE-----')
}

async function readPem(file: string, what: string): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw unreadable(file, what, error)
  })
  if (bytes.length > 1 << 20) throw new StartError(`the ${what} ${file} is larger than 1 MiB: is it the right file?`)
  const text = bytes.toString('latin1')
  if (text.includes('-----BEGIN ')) return text
  if (bytes[0] === 0x30) {
    const convert =
      what === 'certificate'
        ? `openssl x509 -inform der -in ${file} -out NEW.pem`
        : `openssl pkey -inform der -in ${file} -out NEW.pem`
    throw new StartError(`the ${what} ${file} is in DER form, and PEM is needed. Convert it: ${convert}`)
  }
  throw new StartError(
    `the ${what} ${file} is not PEM: it has no line that begins with '-----BEGIN'${bytes.length === 0 ? ' (it is empty)' : ''}. Put the ${what} there again.`,
  )
}

function unreadable(file: string, what: string, error: unknown): StartError {
  const code = (error as NodeJS.ErrnoException).code
  const user = userInfo().username
  const why =
    code === 'ENOENT'
      ? 'does not exist. Check the path in the config'
      : code === 'EACCES' || code === 'EPERM'
        ? `may not be read by the user ${user}. Let it be read, for instance: chgrp ${user} ${file} && chmod g+r ${file} (and g+x on its folders)`
        : code === 'EISDIR'
          ? 'is a folder. Name the file, or use the setting tls.directory'
          : `cannot be read (${(error as Error).message})`
  return new StartError(`the ${what} ${file} ${why}.`, { cause: error })
}

const CERTIFICATE =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]{0,65536}-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g

function parseChain(file: string, text: string): X509Certificate[] {
  const blocks = text.match(CERTIFICATE) ?? []
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1
  if (blocks.length === 0 && begun === 0) {
    const key = text.includes('PRIVATE KEY-----')
    throw new StartError(
      key
        ? `${file} holds a private key and no certificate. Are the settings certificate and key swapped?`
        : `${file} holds no certificate (no line '-----BEGIN CERTIFICATE-----'). Put the certificate and its intermediate ones there, in PEM form.`,
    )
  }
  if (blocks.length < begun) {
    throw new StartError(
      `certificate ${blocks.length + 1} in ${file} is cut short: its '-----END CERTIFICATE-----' line is missing. Copy the file again.`,
    )
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw new StartError(
        `certificate ${index + 1} in ${file} cannot be read (${openSslReason(error)}). The file is damaged: copy it again, and check it with: openssl x509 -in ${file} -noout -text`,
        { cause: error },
      )
    }
  })
}

function parseKey(files: CertificateFiles, text: string): KeyObject {
  const { key: file, passphrase } = files
  if (!text.includes('PRIVATE KEY-----')) {
    throw new StartError(
      file === files.certificate
        ? `${file} holds a certificate and no private key. Name the key's file in the setting tls.key.`
        : `${file} holds no private key (no line '-----BEGIN PRIVATE KEY-----'). Is the setting key right, or are certificate and key swapped?`,
    )
  }
  const encrypted = text.includes('BEGIN ENCRYPTED PRIVATE KEY-----') || text.includes('Proc-Type: 4,ENCRYPTED')
  if (encrypted && passphrase === undefined) {
    throw new StartError(
      `the private key ${file} is encrypted. Set tls.passphrase (best as \${file:/path}), or decrypt it: openssl pkey -in ${file} -out NEW.key`,
    )
  }
  try {
    return createPrivateKey(encrypted ? { key: text, passphrase } : { key: text })
  } catch (error) {
    throw new StartError(
      encrypted
        ? `the private key ${file} cannot be decrypted: tls.passphrase is wrong, or the file is damaged (${openSslReason(error)}). Try: openssl pkey -in ${file} -noout`
        : `the private key ${file} cannot be read (${openSslReason(error)}). The file is damaged: copy it again, and check it with: openssl pkey -in ${file} -noout`,
      { cause: error },
    )
  }
}

function mismatch(files: CertificateFiles, chain: readonly X509Certificate[], key: KeyObject): StartError {
  const place = chain.findIndex((certificate) => certificate.checkPrivateKey(key))
  return new StartError(
    place > 0
      ? `the certificates in ${files.certificate} are in the wrong order: the server's own comes first, and it is number ${place + 1} now.`
      : `the private key ${files.key} does not belong to the certificate ${files.certificate} (issued to ${certificateNames(chain[0] as X509Certificate).join(', ') || 'nobody'}). ` +
          'Put the key there that the certificate was requested with, or request a new certificate.',
  )
}

const openSslReason = (error: unknown): string => {
  const { reason, message } = error as { reason?: string; message: string }
  return reason ?? message
}
