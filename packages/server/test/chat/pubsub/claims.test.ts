// What a presence claims of its client, and which descriptions bear it out (XEP-0115, XEP-0390).

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_PARSER_LIMITS, type Element, NO_CONTEXT, readElement } from '@aviso/xmpp'
import { claimOf, infoOf, wantedBy } from '../../../src/chat/pubsub/claims.ts'
import { INFO } from './clients.ts'

const read = (xml: string): Element => readElement(xml, NO_CONTEXT, DEFAULT_PARSER_LIMITS)
const presence = (content: string): Element => read(`<presence xmlns='jabber:client'>${content}</presence>`)
const query = (content: string): Element => read(`<query xmlns='${INFO}'>${content}</query>`)

/** XEP-0115 §5.3. */
const PSI = `<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
  <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
  <feature var='http://jabber.org/protocol/caps'/>
  <feature var='http://jabber.org/protocol/disco#info'/>
  <feature var='http://jabber.org/protocol/disco#items'/>
  <feature var='http://jabber.org/protocol/muc'/>
  <x xmlns='jabber:x:data' type='result'>
    <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
    <field var='ip_version'><value>ipv4</value><value>ipv6</value></field>
    <field var='os'><value>Mac</value></field>
    <field var='os_version'><value>10.5.1</value></field>
    <field var='software'><value>Psi</value></field>
    <field var='software_version'><value>0.11</value></field>
  </x>`
const VER = 'q07IKJEyjvHSyhy//CH0CxmKi8w='
const caps = (attributes: string): Element => presence(`<c xmlns='http://jabber.org/protocol/caps' ${attributes}/>`)

test('the hash of the document’s example holds, and that of none that differs', () => {
  const claim = claimOf(caps(`hash='sha-1' node='http://psi-im.org' ver='${VER}'`))
  assert.equal(claim?.node, `http://psi-im.org#${VER}`)
  const holds = (content: string): boolean | undefined => {
    const info = infoOf(query(content))
    return info && claim?.holds(info)
  }
  assert.equal(holds(PSI), true)
  assert.equal(holds(PSI.replace('Psi 0.11', 'Psi 0.12')), false)
  assert.equal(holds(PSI.replace("xml:lang='el'", "xml:lang='fr'")), false)
  assert.equal(holds(`${PSI}<feature var='urn:example+notify'/>`), false)
  assert.equal(holds(PSI.replace('<value>ipv6</value>', '')), false)
})

test('descriptions that could be read in two ways are none', () => {
  for (const [what, content] of [
    ['a feature twice', `${PSI}<feature var='http://jabber.org/protocol/muc'/>`],
    ['an identity twice', `${PSI}<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>`],
    ['a separator in a feature', `${PSI}<feature var='a&lt;b+notify'/>`],
    ['a separator in a name', PSI.replace('Psi 0.11', 'Psi&lt;0.11')],
    ['a form twice', `${PSI}${PSI.slice(PSI.indexOf('<x '))}`],
    ['two types of a form', PSI.replace('</value></field>', '</value><value>other</value></field>')],
  ] as const)
    assert.equal(infoOf(query(content)), undefined, what)
  assert.equal(infoOf(read(`<query xmlns='urn:example'/>`)), undefined)
})

test('claims: the new kind goes before the old one; what is of no use is none', () => {
  const both = presence(
    `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='md5'>x</hash><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>abc=</hash></c>`,
  )
  assert.deepEqual([claimOf(both)?.hash, claimOf(both)?.node], ['2 sha-256 abc=', 'urn:xmpp:caps#sha-256.abc='])
  // Without a hash that is known, a client speaks for itself alone.
  for (const attributes of [`node='n' ver='v'`, `hash='__proto__' node='n' ver='v'`, `hash='md5' node='n' ver='v'`]) {
    const claim = claimOf(caps(attributes))
    assert.deepEqual([claim?.hash, claim?.node], [undefined, 'n#v'])
    assert.equal(claim?.holds({ identities: [], features: [] }), false)
  }
  for (const attributes of [
    '',
    `hash='sha-1' node='n'`,
    `hash='sha-1' ver='v' node=''`,
    `node='n' ver='${'v'.repeat(400)}'`,
  ])
    assert.equal(claimOf(caps(attributes)), undefined, attributes)
})

test('what a client wants has bounds', () => {
  const features = Array.from({ length: 1000 }, (_, index) => `urn:example:${index}+notify`)
  assert.equal(wantedBy({ identities: [], features }).length, 300)
  assert.deepEqual(wantedBy({ identities: [], features: ['a+notify', 'b', `${'c'.repeat(2000)}+notify`] }), ['a'])
})
