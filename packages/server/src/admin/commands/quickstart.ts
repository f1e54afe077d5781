// aviso quickstart DOMAIN: from nothing to a config, a domain and a first account.

import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { Command } from 'commander'
import { stringify } from 'yaml'
import { type CommonOptions, common, withAdmin } from '../context.ts'
import type { Programme } from '../programme.ts'
import { newPassword, show, UsageError } from '../terminal.ts'

interface QuickstartOptions extends CommonOptions {
  readonly hostname?: string
  readonly admin?: string
  readonly user?: string
  readonly passwordStdin?: boolean
}

export const quickstartCommand = (programme: Programme): Command =>
  common(
    new Command('quickstart')
      .argument('<domain>')
      .description(
        'write a config file for a domain, and make its first account; --data names the data folder to write into it',
      ),
  )
    .option('--hostname <name>', "the server's own name (default: mail.DOMAIN)")
    .option('--admin <address>', 'the first account, an administrator (default: admin@DOMAIN)')
    .option('--user <name>', 'the system user that the server runs as, where it is started as root')
    .option('--password-stdin', 'read the password from standard input (default: one is made up and printed)')
    .action(async (domain: string, options: QuickstartOptions) => {
      const file = options.config ?? 'aviso.yaml'
      if (existsSync(file))
        throw new UsageError(`${file} is there already: edit it, or name another file with --config`)
      const hostname = options.hostname ?? `mail.${domain}`
      const address = options.admin ?? `admin@${domain}`
      const made = options.passwordStdin === true ? undefined : randomBytes(12).toString('base64url')
      const password = made ?? (await newPassword(true))
      const written = {
        hostname,
        domain,
        // As it was given: relative to where the command runs, not to the config file.
        data: options.data === undefined ? './data' : resolve(options.data),
        ...(options.user === undefined ? {} : { user: options.user }),
      }
      writeFileSync(file, `# Aviso. Everything else has a default: see \`aviso config show\`.\n${stringify(written)}`, {
        flag: 'wx',
        // The user that the server goes on as reads it again at a reload; it holds no secret.
        mode: 0o644,
      })
      try {
        await withAdmin(programme, { config: file }, (admin) =>
          admin.ask('account.add', { address, password, role: 'admin' }),
        )
      } catch (error) {
        // So that the command can be given again, once what was wrong is right.
        rmSync(file, { force: true })
        throw error
      }
      show(
        options.json === true,
        { config: file, hostname, domain, account: address, ...(made === undefined ? {} : { password: made }) },
        () =>
          [
            `${file} is written, and ${address} exists${made === undefined ? '' : `, with the password ${made}`}.`,
            '',
            'DNS records that the domain needs:',
            `  ${domain}.  MX 10 ${hostname}.`,
            `  ${hostname}.  A / AAAA  (the addresses of this server)`,
            `  ${domain}.  TXT "v=spf1 mx -all"`,
            `  _dmarc.${domain}.  TXT "v=DMARC1; p=quarantine"`,
            `  and the keys that sign your mail: \`aviso dkim show ${domain} --config ${file}\``,
            `  _xmpp-client._tcp.${domain}.  SRV 0 5 5222 ${hostname}.`,
            `  _xmpps-client._tcp.${domain}.  SRV 0 5 5223 ${hostname}.`,
            `  _xmpp-server._tcp.${domain}.  SRV 0 5 5269 ${hostname}.`,
            `  _xmpps-server._tcp.${domain}.  SRV 0 5 5270 ${hostname}.`,
            `  and those of the rooms, once the server runs: \`aviso chat dns ${domain} --config ${file}\``,
            `  _imaps._tcp.${domain}.  SRV 0 1 993 ${hostname}.`,
            `  _submissions._tcp.${domain}.  SRV 0 1 465 ${hostname}.`,
            '',
            `Next: name a certificate in the setting tls, then run \`aviso start --config ${file}\`.`,
          ].join('\n'),
      )
    })
