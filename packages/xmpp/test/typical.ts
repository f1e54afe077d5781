// Ten stanzas as they go over the wire all day: what the parser is measured with.

const noise = (length: number, seed: number): string => {
  let state = seed
  let text = ''
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  while (text.length < length) {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    text += letters[(state >> 12) & 63]
  }
  return text
}

const roster = Array.from(
  { length: 20 },
  (_, index) =>
    `<item jid='friend${index}@example.net' name='Friend Number ${index}' subscription='both'><group>Friends</group></item>`,
).join('')

export const TYPICAL: readonly string[] = [
  `<message to='bob@example.net' from='anna@example.org/phone' type='chat' id='m-4711'><body>Shall we meet at eight, the usual place? I'll bring the &quot;thing&quot; &amp; the others.</body><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='m-4711'/><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
  `<message to="anna@example.org/phone" from="bob@example.net/desk" type="chat" id="m-4712"><received xmlns="urn:xmpp:receipts" id="m-4711"/><store xmlns="urn:xmpp:hints"/></message>`,
  `<presence from='anna@example.org/phone'><show>away</show><status>Auf dem Weg, später zurück</status><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example/' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='vcard-temp:x:update'><photo>b09b2ae7a2f9f5a1c1f3d0d5b5f1c2a3d4e5f607</photo></x></presence>`,
  `<iq type='get' to='example.org' id='ping-1'><ping xmlns='urn:xmpp:ping'/></iq>`,
  `<r xmlns='urn:xmpp:sm:3'/>`,
  `<message to='room@chat.example.org' from='anna@example.org/phone' type='groupchat' id='g-1'><body>Hello everybody, has somebody seen the notes of last week? I cannot find them in the wiki any more.</body><origin-id xmlns='urn:xmpp:sid:0' id='g-1'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='dd72603deec90a38ba552f7c68cbcc61bca202cd'/></message>`,
  `<message to='bob@example.net' type='chat' id='o-1'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1234567890'><key rid='31415'>${noise(220, 1)}</key><key rid='92653' prekey='true'>${noise(420, 2)}</key><iv>${noise(16, 3)}</iv></header><payload>${noise(240, 4)}</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/><store xmlns='urn:xmpp:hints'/><body>I sent you an OMEMO encrypted message but your client does not seem to support that.</body></message>`,
  `<message to='anna@example.org/phone' from='anna@example.org'><result xmlns='urn:xmpp:mam:2' queryid='q27' id='28482-98726-73623'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2024-07-10T23:08:25Z'/><message xmlns='jabber:client' to='bob@example.net' from='anna@example.org/phone' type='chat'><body>Call me but love, and I'll be new baptized; Henceforth I never will be Romeo.</body></message></forwarded></result></message>`,
  `<iq type='result' id='roster-1' to='anna@example.org/phone'><query xmlns='jabber:iq:roster' ver='17'>${roster}</query></iq>`,
  `<message from='bob@example.net' to='anna@example.org/phone' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:avatar:metadata'><item id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f'><metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='12345' height='64' id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f' type='image/png' width='64'/></metadata></item></items></event></message>`,
]
