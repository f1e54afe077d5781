// Scripted conversations with any IMAP server: the format, its runner, and the declaration of scripts as tests.

export { type ScriptFile, type ScriptStory, readScript } from './script.ts'
export { ScriptFault, type ScriptRunOptions, type ScriptServer, runStory } from './run.ts'
export { readScripts, type ScriptedServer, type ScriptTestOptions, testScripts } from './declare.ts'
export { serveAccount, serverAt } from './serve.ts'
