// The API reference of a package: one page for each entry point of its package.json, made of the exported declarations and their doc comments.
// The compiler that checks the types also reads them here (`typescript/unstable/sync`): what the page says is what a program sees.

import { readFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import {
  isClassDeclaration,
  isFunctionDeclaration,
  isInterfaceDeclaration,
  isTypeAliasDeclaration,
  isVariableDeclaration,
} from 'typescript/unstable/ast/is'
import type { ClassDeclaration, Node } from 'typescript/unstable/ast'
import { API, type Checker, type Project, type Symbol, SymbolFlags } from 'typescript/unstable/sync'

/** What the folders of a package hold: the headings of a page. */
const ROOMS: Readonly<Record<string, string>> = {
  'backend.ts': 'The contract with a mail store',
  client: 'Client',
  maildir: 'Maildir',
  memory: 'A mail store in memory',
  render: 'Rendering',
  search: 'Search',
  server: 'Server',
  testing: 'Conformance kit',
  wire: 'Wire',
}

/**
 * Pages by file name, below `folder`. Throws `Error` when a public export has no doc comment, and when a declaration is of a kind that this does not know.
 */
export function apiReference(packageFolder: string, folder: string): Map<string, string> {
  const description = JSON.parse(readFileSync(`${packageFolder}/package.json`, 'utf8')) as {
    readonly name: string
    readonly exports: Readonly<Record<string, string>>
  }
  const api = new API({ cwd: process.cwd() })
  try {
    const [project] = api.updateSnapshot({ openProjects: [resolve('tsconfig.json')] }).getProjects()
    if (project === undefined) throw new Error('tsconfig.json opens no project')
    const entries = Object.entries(description.exports)
    const names = entries.map(([entry]) => `${description.name}${entry.slice(1)}`)
    return new Map(
      entries.map(([entry, source], i) => {
        const page = new Page(project, resolve(packageFolder, 'src'))
        const links = entry === '.' ? names.slice(1).map((name) => `[\`${name}\`](${name.split('/').at(-1)}.md)`) : []
        const text = page.of(resolve(packageFolder, source), names[i] ?? '', links)
        return [`${folder}/${entry === '.' ? 'index' : entry.slice(2)}.md`, text]
      }),
    )
  } finally {
    api.close()
  }
}

class Page {
  readonly #project: Project
  readonly #checker: Checker
  readonly #sources: string

  constructor(project: Project, sources: string) {
    this.#project = project
    this.#checker = project.checker
    this.#sources = sources
  }

  /** `links`: to the pages of other entry points. */
  of(file: string, name: string, links: readonly string[]): string {
    const source = this.#project.program.getSourceFile(file)
    const module = source && this.#checker.getSymbolAtLocation(source)
    if (source === undefined || module === undefined) throw new Error(`${file} is no module`)
    const rooms = new Map<string, string[]>()
    for (const exported of this.#checker.getExportsOfModule(module).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const { room, lines } = this.#export(exported)
      rooms.set(room, [...(rooms.get(room) ?? []), ...lines])
    }
    return [
      `# ${name}`,
      '',
      `${opening(source.text)} Made from the sources: do not edit this page, run \`npm run docs\`.`,
      '',
      ...(links.length === 0 ? [] : [`Other entry points: ${links.join(', ')}.`, '']),
      ...[...rooms].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([room, lines]) => [`## ${room}`, '', ...lines]),
    ].join('\n')
  }

  #export(exported: Symbol): { readonly room: string; readonly lines: readonly string[] } {
    const alias = (exported.flags & SymbolFlags.Alias) !== 0
    const symbol = alias ? this.#checker.getAliasedSymbol(exported) : exported
    const declaration = symbol.declarations[0]?.resolve(this.#project)
    if (declaration === undefined) throw new Error(`${exported.name} is declared nowhere`)
    const path = relative(this.#sources, declaration.getSourceFile().fileName)
    const doc = this.#checker
      .getDocumentationCommentOfSymbol(symbol)
      .replaceAll(/\s*\n\s*/g, ' ')
      .trim()
    if (doc === '') throw new Error(`${path}: ${exported.name} is exported and has no doc comment`)
    const first = path.split('/')[0] ?? ''
    const renamed = symbol.name === exported.name ? '' : ` (\`${symbol.name}\` there)`
    return {
      room: ROOMS[first] ?? first,
      lines: [
        `### ${exported.name}`,
        '',
        doc,
        '',
        '```ts',
        this.#declared(declaration).replaceAll(/^(export |declare )+/gm, ''),
        '```',
        '',
        `In \`${path}\`${renamed}.`,
        '',
      ],
    }
  }

  /** The declaration as a program sees it: without bodies and what is private. */
  #declared(node: Node): string {
    if (isInterfaceDeclaration(node) || isTypeAliasDeclaration(node)) return node.getText()
    if (isFunctionDeclaration(node)) return before(node, node.body)
    if (isClassDeclaration(node)) return this.#class(node)
    if (!isVariableDeclaration(node)) throw new Error(`a declaration of this kind is not known: ${node.getText()}`)
    // A table is its own best description.
    if (node.type === undefined && node.initializer !== undefined && /^[{[]\n/.test(node.initializer.getText()))
      return `const ${node.getText()}`
    return `const ${node.name.getText()}: ${this.#typeOf(node)}`
  }

  #typeOf(node: Node & { readonly type?: Node | undefined }): string {
    const type = node.type === undefined ? this.#checker.getTypeAtLocation(node) : undefined
    return node.type?.getText() ?? (type === undefined ? 'unknown' : this.#checker.typeToString(type, node))
  }

  #class(node: ClassDeclaration): string {
    const text = node.getSourceFile().text
    const members = node.members.flatMap((member) => {
      const name = 'name' in member ? ((member.name as Node | undefined)?.getText() ?? '') : ''
      const start = text.slice(member.getStart(), member.end)
      if (
        name.startsWith('#') ||
        /^(private|protected|static \{)/.test(start) ||
        /^\w+ override |^override /.test(start)
      )
        return []
      const body = 'body' in member ? (member.body as Node | undefined) : undefined
      const property = 'initializer' in member && member.initializer !== undefined && body === undefined
      const signature = property
        ? `${start.startsWith('readonly ') ? 'readonly ' : ''}${name}: ${this.#typeOf(member)}`
        : before(member, body).replace(/^async /, '')
      const comment = member.jsDoc?.at(-1)?.getText()
      return [...(comment === undefined ? [] : [`  ${comment}`]), `  ${signature}`]
    })
    return [text.slice(node.getStart(), node.members.pos), ...members, '}'].join('\n')
  }
}

/** The text of a declaration in front of its body. */
function before(node: Node, body: Node | undefined): string {
  const { text } = node.getSourceFile()
  return text.slice(node.getStart(), body?.getStart() ?? node.end).trim()
}

/** What the comment at the head of a file says: the lines behind `// `, up to the first that is none. */
function opening(text: string): string {
  const lines = text.split('\n')
  const end = lines.findIndex((line) => !line.startsWith('// '))
  return lines
    .slice(0, end)
    .map((line) => line.slice(3))
    .join(' ')
    .replace(/^@[\w/]+: /, '')
}
