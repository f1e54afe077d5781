// Loaded into the server by measurements of memory (`node --expose-gc --import`): collects garbage when asked to.

process.on('SIGUSR2', () => globalThis.gc?.())
