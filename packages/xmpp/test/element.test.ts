import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import {
  DEFAULT_PARSER_LIMITS,
  Element,
  NS,
  NO_CONTEXT,
  STANZA_CONDITIONS,
  STREAM_CONDITIONS,
  StanzaError,
  StreamError,
  el,
  errorReply,
  readElement,
  resultReply,
  type StanzaCondition,
} from '../src/index.ts'
import { TYPICAL } from './typical.ts'

const CLIENT = { xmlns: NS.client, bindings: ['stream', NS.streams] }
const read = (source: string): Element => readElement(source, CLIENT, DEFAULT_PARSER_LIMITS)
const bare = (source: string): Element => readElement(source, NO_CONTEXT, DEFAULT_PARSER_LIMITS)

describe('building', () => {
  it('namespaces come down from the parent, stanzas have their own', () => {
    const iq = el(
      'iq',
      { type: 'get', id: 1, to: undefined },
      el('query', { xmlns: NS.roster }, el('item'), [el('item'), false, undefined]),
    )
    assert.equal(
      iq.toString(NS.client),
      "<iq type='get' id='1'><query xmlns='jabber:iq:roster'><item/><item/></query></iq>",
    )
    assert.equal(iq.child('query', NS.roster)?.childrenNamed('item').length, 2)
    assert.equal(iq.child('query'), undefined)
    assert.equal(iq.toString(NS.server).slice(0, 26), "<iq xmlns='jabber:client' ")
  })
  it('everything is escaped', () => {
    const nasty = `<&>"'\r\n\t\u0000\ufffe`
    const built = el('message', { id: nasty }, el('body', {}, nasty))
    const back = read(built.toString(NS.client))
    assert.equal(back.get('id'), `<&>"'\r\n\t\ufffd\ufffd`)
    assert.equal(back.childText('body'), `<&>"'\r\n\t\ufffd\ufffd`)
  })
  it('attributes of other namespaces keep them', () => {
    const source = read("<a xmlns:x='urn:x' x:b='1' xml:lang='de' c='2'/>")
    const back = bare(source.toString())
    assert.deepEqual([back.get('{urn:x}b'), back.get('xml:lang'), back.get('c')], ['1', 'de', '2'])
  })
  it('nothing changes what is built', () => {
    const first = el('message', { to: 'a', from: 'b' }, el('body', {}, 'hi'))
    const second = first.with({ to: undefined, from: 'c', id: 'd' })
    assert.equal(String(second), "<message xmlns='jabber:client' from='c' id='d'><body>hi</body></message>")
    assert.equal(String(first), "<message xmlns='jabber:client' to='a' from='b'><body>hi</body></message>")
    assert.equal(first.append(el('store', { xmlns: 'urn:xmpp:hints' })).elements.length, 2)
    assert.equal(first.without((child) => child.name === 'body').children.length, 0)
    assert.equal(
      first.without(() => false),
      first,
    )
    assert.equal(first.withChildren('x', el('y')).text(), 'x')
    assert.equal(first.firstElement?.xmlns, NS.client)
  })
})

describe('forwarding without serialising again', () => {
  it('content stays as it came', () => {
    const inner = `<body >a&#x41;b</body ><x  xmlns="urn:x"/>`
    const stanza = read(`<message to='b'>${inner}</message>`)
    assert.equal(stanza.raw, inner)
    assert.equal(stanza.with({ from: 'a', to: undefined }).toString(NS.client), `<message from='a'>${inner}</message>`)
    assert.equal(
      stanza.append(el('z', { xmlns: 'urn:z' })).toString(NS.client),
      `<message to='b'>${inner}<z xmlns='urn:z'/></message>`,
    )
    assert.equal(
      stanza.without((child) => child.name === 'x').toString(NS.client),
      "<message to='b'><body>aAb</body></message>",
    )
  })
  it('but not where it leans on what is around it', () => {
    const leaning = [
      `<message><stream:x/></message>`,
      `<message><a stream:x='1'/></message>`,
      `<message xmlns:p='urn:p'><p:x/></message>`,
      `<message xmlns:p='urn:p'><a><b p:x='1'/></a></message>`,
      `<c:message xmlns:c='urn:c'><body/></c:message>`,
    ]
    for (const source of leaning) {
      const stanza = read(source)
      assert.equal(stanza.raw, undefined, source)
      assert.equal(bare(stanza.toString()).toString(), stanza.toString())
    }
    for (const source of [
      `<message><p:x xmlns:p='urn:p'/></message>`,
      `<message><a xml:lang='de'/></message>`,
      `<message xmlns='urn:m'><a/></message>`,
    ]) {
      assert.notEqual(read(source).raw, undefined, source)
    }
  })
  it('a stanza for many is serialised once', () => {
    const one = el('message', { type: 'groupchat' }, el('body', {}, 'hi')).prepared()
    assert.equal(one.raw, '<body>hi</body>')
    assert.equal(one.with({ to: 'x' }).raw, one.raw)
  })
  it('what is forwarded means the same', () => {
    for (const source of TYPICAL) {
      const stanza = read(source)
      const built = new Element(stanza.name, stanza.xmlns, stanza.attrs, stanza.children)
      assert.equal(String(strip(bare(stanza.toString()))), String(strip(built)))
    }
  })
  it('from one content namespace to the other', () => {
    const stanza = read("<message><body>x</body><y xmlns='urn:y'/></message>")
    assert.equal(
      stanza.inNamespace(NS.server).toString(NS.server),
      "<message><body>x</body><y xmlns='urn:y'/></message>",
    )
    assert.equal(stanza.inNamespace(NS.server).childText('body'), 'x')
    const forwarded = read(
      `<message><f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f><body xmlns='jabber:client'/></message>`,
    )
    const sent = bare(forwarded.inNamespace(NS.server).toString())
    assert.equal(sent.child('f', 'urn:f')?.child('message', NS.client)?.child('body')?.xmlns, NS.client)
    assert.ok(sent.child('body', NS.server))
  })
})

function strip(element: Element): Element {
  return new Element(
    element.name,
    element.xmlns,
    element.attrs,
    element.children.map((child) => (typeof child === 'string' ? child : strip(child))),
  )
}

describe('any tree', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 })
  const attribute = fc.tuple(fc.constantFrom('a', 'b', '{urn:q}c', 'xml:lang', '__proto__'), text)
  const { tree } = fc.letrec<{ tree: Element }>((tie) => ({
    tree: fc
      .tuple(
        fc.constantFrom('x', 'y'),
        fc.constantFrom('', 'urn:1', "urn:'2"),
        fc.uniqueArray(attribute, { selector: ([name]) => name, maxLength: 4 }),
        fc.array(fc.oneof({ depthSize: 'small' }, text, tie('tree')), { maxLength: 3 }),
      )
      .map(([name, xmlns, attributes, children]) =>
        el(name, Object.fromEntries([...attributes, ['xmlns', xmlns]]), ...children),
      ),
  }))
  it('is read back as it was written', () => {
    fc.assert(
      fc.property(tree, (element) => {
        const once = element.toString()
        assert.equal(strip(bare(once)).toString(), once)
        assert.equal(element.prepared().toString(), once)
      }),
    )
  })
})

describe('errors', () => {
  it('every stanza condition goes out and comes back', () => {
    for (const condition of Object.keys(STANZA_CONDITIONS) as StanzaCondition[]) {
      const error = StanzaError.of(condition, 'why <not>', {
        by: 'a.example',
        app: el('too-much', { xmlns: 'urn:app' }),
        content: 'xmpp:b',
      })
      const reply = errorReply(read("<iq type='get' id='1' from='a' to='b'/>"), error)
      const back = StanzaError.from(read(String(reply)))
      for (const key of ['type', 'condition', 'text', 'by', 'content'] as const) assert.equal(back[key], error[key])
      assert.equal(back.app?.name, 'too-much')
      assert.deepEqual(
        ['type', 'id', 'from', 'to'].map((name) => reply?.get(name)),
        ['error', '1', 'b', 'a'],
      )
    }
  })
  it('every stream condition, too', () => {
    for (const condition of STREAM_CONDITIONS) {
      const error = new StreamError(condition, 'why', { content: condition === 'see-other-host' ? 'b.example' : '' })
      const back = StreamError.from(read(String(error)))
      assert.deepEqual([back.condition, back.text, back.content], [condition, 'why', error.content])
    }
  })
  it('unknown ones are undefined conditions', () => {
    assert.equal(StanzaError.from(read("<iq type='error'/>")).condition, 'undefined-condition')
    assert.equal(
      StanzaError.from(read(`<iq type='error'><error type='x'><toString xmlns='${NS.stanzaErrors}'/></error></iq>`))
        .type,
      'cancel',
    )
    assert.equal(StreamError.from(read('<stream:error/>')).condition, 'undefined-condition')
  })
  it('are never answered with errors', () => {
    assert.equal(errorReply(el('message', { type: 'error' }), StanzaError.of('conflict')), undefined)
    assert.equal(errorReply(el('iq', { type: 'result' }), StanzaError.of('conflict')), undefined)
    assert.equal(
      String(resultReply(el('iq', { id: '1', from: 'a' }))),
      "<iq xmlns='jabber:client' type='result' id='1' to='a'/>",
    )
  })
})
