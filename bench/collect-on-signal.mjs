// Loaded into the server by measurements of memory (`node --expose-gc --import`): collects all garbage when asked to, and gives pages back, as the server does when it rests.

process.on('SIGUSR2', () => globalThis.gc?.({ type: 'major', flavor: 'last-resort' }))
