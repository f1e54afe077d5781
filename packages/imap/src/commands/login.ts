// RFC 9051 §6.2.3 LOGIN

import { defineCommand } from '../server/command.ts'
import { no } from '../wire/errors.ts'

export const login = defineCommand({
  name: 'LOGIN',
  state: 'unauthenticated',
  news: 'none',
  parse(parser) {
    parser.space()
    const user = parser.text()
    parser.space()
    return { user, password: parser.text() }
  },
  async execute(session, { user, password }) {
    if (!session.loginAllowed)
      throw no('Passwords are not taken without TLS: use STARTTLS or the TLS port', 'PRIVACYREQUIRED')
    if (session.options.login === undefined) throw no('LOGIN is switched off: use AUTHENTICATE', 'CANNOT')
    const identity = await session.options.login(user, password, session.connection)
    if (identity === undefined) {
      session.loginFailed()
      throw no('The user name or the password is wrong', 'AUTHENTICATIONFAILED')
    }
    await session.login(identity)
    return { code: `CAPABILITY ${session.capabilities}`, text: 'Logged in' }
  },
})
