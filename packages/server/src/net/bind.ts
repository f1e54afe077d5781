// Opening server sockets, and saying in plain words why one could not be opened.

import { chmod, unlink } from 'node:fs/promises'
import { connect, createServer, type ListenOptions, type Server, type Socket } from 'node:net'
import { userInfo } from 'node:os'
import { hostAndPort, type ListenAddress } from './addresses.ts'
import { portOwner } from './port-owner.ts'
import { StartError } from './start-error.ts'
import type { Activation } from './systemd.ts'

/** Idle peers that went away without a word are found by TCP keep-alive after this time. */
const KEEP_ALIVE_MS = 120_000
const BACKLOG = 511

/**
 * Opens the server sockets of one address (several where systemd gave several of one name). `accept` is called for every connection. Rejects with a StartError
 * that names the address, the cause and the remedy. `what` is who wants to listen there, for the message.
 */
export async function bind(
  address: ListenAddress,
  what: string,
  activation: Activation,
  accept: (socket: Socket) => void,
): Promise<Server[]> {
  if (address.kind === 'systemd') {
    const descriptors = activation.take(address.name)
    if (descriptors.length === 0) throw new StartError(noSuchSocket(address.name, what, activation))
    return Promise.all(
      descriptors.map((fd) => open({ fd }, accept).catch((error: unknown) => refuse(error, address, what))),
    )
  }
  if (address.kind === 'unix') {
    const listen = (): Promise<Server> => open({ path: address.path }, accept)
    const server = await listen().catch(async (error: unknown) => {
      // A crash leaves the socket's file behind: it is taken away only when nobody answers there.
      if (codeOf(error) !== 'EADDRINUSE' || (await answers(address.path))) return refuse(error, address, what)
      await unlink(address.path).catch(() => {})
      return listen().catch((again: unknown) => refuse(again, address, what))
    })
    // As a umask of 007 would have it: whoever is in the group may connect.
    await chmod(address.path, 0o660)
    return [server]
  }
  const { host, port } = address
  const server = await open({ host, port }, accept).catch((error: unknown) => {
    // A machine without IPv6 has no `::`; "all addresses" are the IPv4 ones there.
    const withoutIpv6 = host === '::' && ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(codeOf(error) ?? '')
    return withoutIpv6
      ? open({ host: '0.0.0.0', port }, accept).catch((again: unknown) => refuse(again, address, what))
      : refuse(error, address, what)
  })
  return [server]
}

function open(options: ListenOptions | { readonly fd: number }, accept: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, accept)
    server.once('error', reject)
    server.listen({ backlog: BACKLOG, ...options }, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    })
    // Only a refusal says that nobody is there; whatever else goes wrong, the file is not ours to remove.
    socket.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED'))
  })
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

async function refuse(error: unknown, address: ListenAddress, what: string): Promise<never> {
  throw new StartError(await explain(error, address, what), { cause: error })
}

async function explain(error: unknown, address: ListenAddress, what: string): Promise<string> {
  const code = codeOf(error)
  if (address.kind === 'systemd') {
    return `${what} cannot use the socket '${address.name}' from systemd (${(error as Error).message}). It must be a stream socket: ListenStream= in the .socket unit.`
  }
  if (address.kind === 'unix') {
    const { path } = address
    if (code === 'EADDRINUSE')
      return `${what} cannot listen on unix:${path}: another program listens there already. Stop it (see: ss -lxp), or choose another path.`
    if (code === 'EACCES')
      return `${what} cannot listen on unix:${path}: the user ${userInfo().username} may not write to that folder. Change the folder's owner, or choose another path.`
    if (code === 'ENOENT')
      return `${what} cannot listen on unix:${path}: the folder does not exist. Make it, or choose another path.`
    return `${what} cannot listen on unix:${path}: ${(error as Error).message}.`
  }
  const { host, port } = address
  const place = `${what} cannot listen on ${hostAndPort(host, port)}`
  if (code === 'EADDRINUSE') {
    const owner = await portOwner(port)
    if (owner?.endsWith(`(process ${process.pid})`) === true) {
      return `${place}: this server listens on port ${port} itself, on an address that overlaps. [::] takes IPv4 and IPv6: name it alone. If an endpoint has just moved from one address to the other, restart instead of reloading.`
    }
    return owner === undefined
      ? `${place}: another program uses that port. Find it with: ss -ltnp 'sport = :${port}' (as root), and stop it, or choose another port.`
      : `${place}: ${owner} uses that port. Stop it, or choose another port.`
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return (
      `${place}: the user ${userInfo().username} may not open ports below 1024. Let systemd open it (a .socket unit, and listen: systemd:NAME), ` +
      'or give the service AmbientCapabilities=CAP_NET_BIND_SERVICE, or start as root with the setting user, or choose a port from 1024 on.'
    )
  }
  if (code === 'EADDRNOTAVAIL') {
    return `${place}: this machine has no such address. See which it has with: ip address. Use [::] or 0.0.0.0 for all of them.`
  }
  if (code === 'EAFNOSUPPORT')
    return `${place}: this machine has no IPv6. Use an IPv4 address, or 0.0.0.0 for all of them.`
  return `${place}: ${(error as Error).message}.`
}

function noSuchSocket(name: string, what: string, activation: Activation): string {
  const names = activation.names()
  return names.length === 0
    ? `${what} is to listen on the socket '${name}' from systemd, but systemd handed none over. Start the service through its .socket unit (systemctl start NAME.socket), or name an address.`
    : `${what} is to listen on the socket '${name}' from systemd, which handed over only ${names.join(', ')}. Set FileDescriptorName=${name} in its .socket unit.`
}
