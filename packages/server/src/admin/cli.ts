// The command line.

import { Command, CommanderError } from 'commander'
import { accountCommand } from './commands/account.ts'
import { chatCommand, inviteCommand } from './commands/chat.ts'
import { roomCommand } from './commands/room.ts'
import { checkCommand, dkimCommand } from './commands/authentication.ts'
import { configCommand } from './commands/config.ts'
import { aliasCommand, domainCommand, rosterCommand } from './commands/directory.ts'
import { doctorCommand } from './commands/doctor.ts'
import { filesCommand } from './commands/files.ts'
import { mailboxCommand } from './commands/mailbox.ts'
import { mailCommand } from './commands/mail.ts'
import { messageCommand } from './commands/message.ts'
import { queueCommand } from './commands/queue.ts'
import { quickstartCommand } from './commands/quickstart.ts'
import { sendmailCommand } from './commands/sendmail.ts'
import { serverCommands } from './commands/server.ts'
import { NotRunning } from './context.ts'
import type { Programme } from './programme.ts'
import { turnCommand } from './commands/turn.ts'
import { EXIT, explain } from './terminal.ts'

/** Runs the command that `args` (without the program's name) name. Sets the exit status; never rejects. */
export async function runCommandLine(programme: Programme, args: readonly string[]): Promise<void> {
  const root = new Command('aviso')
    .description('Mail and chat for your own domain, in one server.')
    .version(programme.version)
    .showSuggestionAfterError(true)
    .showHelpAfterError('(add --help for the usage)')
  const commands = [
    quickstartCommand(programme),
    ...serverCommands(programme),
    accountCommand(programme),
    domainCommand(programme),
    aliasCommand(programme),
    mailboxCommand(programme),
    messageCommand(programme),
    mailCommand(programme),
    sendmailCommand(programme),
    dkimCommand(programme),
    checkCommand(programme),
    queueCommand(programme),
    doctorCommand(programme),
    rosterCommand(programme),
    inviteCommand(programme),
    chatCommand(programme),
    filesCommand(programme),
    turnCommand(programme),
    roomCommand(programme),
    configCommand(programme),
  ]
  // Whoever reads our output may have seen enough (`| head`).
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })
  for (const command of commands) root.addCommand(command)
  for (const command of everyCommand(root)) command.exitOverride()
  try {
    await root.parseAsync(args, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
      // What it says it has said itself, to people.
      if (error.exitCode !== 0 && args.includes('--json')) writeError(EXIT.usage, usage(error))
      return
    }
    const { status, message } =
      error instanceof NotRunning ? { status: EXIT.unavailable, message: error.message } : explain(error)
    process.exitCode = status
    if (args.includes('--json')) writeError(status, message)
    process.stderr.write(`aviso: ${message}\n`)
  }
}

/** For programs, whose standard output holds one line of JSON whatever happens. */
function writeError(status: number, message: string): void {
  process.stdout.write(`${JSON.stringify({ error: { status, message } })}\n`)
}

/** A command that only has commands of its own prints its help where none is named. */
const usage = ({ code, message }: CommanderError): string =>
  code === 'commander.help' ? 'a command is missing: --help lists them' : message.replace(/^error: /, '')

function* everyCommand(command: Command): Generator<Command> {
  yield command
  for (const inner of command.commands) yield* everyCommand(inner)
}
