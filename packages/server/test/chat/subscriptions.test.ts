// RFC 6121 appendix A, row by row.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  APPROVED,
  FROM,
  inbound,
  LISTED,
  outbound,
  PENDING_IN,
  PENDING_OUT,
  subscriptionName,
  type SubscriptionType,
  TO,
} from '../../src/chat/core/subscriptions.ts'

const STATES = {
  None: 0,
  'None + Pending Out': PENDING_OUT,
  'None + Pending In': PENDING_IN,
  'None + Pending Out+In': PENDING_OUT | PENDING_IN,
  To: TO,
  'To + Pending In': TO | PENDING_IN,
  From: FROM,
  'From + Pending Out': FROM | PENDING_OUT,
  Both: TO | FROM,
} as const
type Name = keyof typeof STATES

const NAMES = Object.keys(STATES) as Name[]
const nameOf = (state: number): Name | undefined =>
  NAMES.find((name) => STATES[name] === (state & (TO | FROM | PENDING_IN | PENDING_OUT)))

// [state before, does the stanza go on?, state after; '' for no change]
type Row = readonly [Name, boolean, Name | '']

const OUTBOUND: Readonly<Record<SubscriptionType, readonly Row[]>> = {
  subscribe: [
    ['None', true, 'None + Pending Out'],
    ['None + Pending Out', true, ''],
    ['None + Pending In', true, 'None + Pending Out+In'],
    ['None + Pending Out+In', true, ''],
    ['To', true, ''],
    ['To + Pending In', true, ''],
    ['From', true, 'From + Pending Out'],
    ['From + Pending Out', true, ''],
    ['Both', true, ''],
  ],
  unsubscribe: [
    ['None', true, ''],
    ['None + Pending Out', true, 'None'],
    ['None + Pending In', true, ''],
    ['None + Pending Out+In', true, 'None + Pending In'],
    ['To', true, 'None'],
    ['To + Pending In', true, 'None + Pending In'],
    ['From', true, ''],
    ['From + Pending Out', true, 'From'],
    ['Both', true, 'From'],
  ],
  subscribed: [
    ['None', false, ''],
    ['None + Pending Out', false, ''],
    ['None + Pending In', true, 'From'],
    ['None + Pending Out+In', true, 'From + Pending Out'],
    ['To', false, ''],
    ['To + Pending In', true, 'Both'],
    ['From', false, ''],
    ['From + Pending Out', false, ''],
    ['Both', false, ''],
  ],
  unsubscribed: [
    ['None', false, ''],
    ['None + Pending Out', false, ''],
    ['None + Pending In', true, 'None'],
    ['None + Pending Out+In', true, 'None + Pending Out'],
    ['To', false, ''],
    ['To + Pending In', true, 'To'],
    ['From', true, 'None'],
    ['From + Pending Out', true, 'None + Pending Out'],
    ['Both', true, 'To'],
  ],
}

const INBOUND: Readonly<Record<SubscriptionType, readonly Row[]>> = {
  subscribe: [
    ['None', true, 'None + Pending In'],
    ['None + Pending Out', true, 'None + Pending Out+In'],
    ['None + Pending In', false, ''],
    ['None + Pending Out+In', false, ''],
    ['To', true, 'To + Pending In'],
    ['To + Pending In', false, ''],
    ['From', false, ''],
    ['From + Pending Out', false, ''],
    ['Both', false, ''],
  ],
  unsubscribe: [
    ['None', false, ''],
    ['None + Pending Out', false, ''],
    ['None + Pending In', true, 'None'],
    ['None + Pending Out+In', true, 'None + Pending Out'],
    ['To', false, ''],
    ['To + Pending In', true, 'To'],
    ['From', true, 'None'],
    ['From + Pending Out', true, 'None + Pending Out'],
    ['Both', true, 'To'],
  ],
  subscribed: [
    ['None', false, ''],
    ['None + Pending Out', true, 'To'],
    ['None + Pending In', false, ''],
    ['None + Pending Out+In', true, 'To + Pending In'],
    ['To', false, ''],
    ['To + Pending In', false, ''],
    ['From', false, ''],
    ['From + Pending Out', true, 'Both'],
    ['Both', false, ''],
  ],
  unsubscribed: [
    ['None', false, ''],
    ['None + Pending Out', true, 'None'],
    ['None + Pending In', false, ''],
    ['None + Pending Out+In', true, 'None + Pending In'],
    ['To', true, 'None'],
    ['To + Pending In', true, 'None + Pending In'],
    ['From', false, ''],
    ['From + Pending Out', true, 'From'],
    ['Both', true, 'From'],
  ],
}

const TYPES = ['subscribe', 'subscribed', 'unsubscribe', 'unsubscribed'] as const

for (const type of TYPES) {
  for (const [before, goesOn, after] of OUTBOUND[type]) {
    test(`the user in state "${before}" sends ${type}`, () => {
      const result = outbound(STATES[before], type)
      assert.equal(result.route, goesOn)
      assert.equal(nameOf(result.state), after === '' ? before : after)
    })
  }
  for (const [before, goesOn, after] of INBOUND[type]) {
    test(`the user in state "${before}" gets ${type}`, () => {
      const result = inbound(STATES[before], type)
      assert.equal(result.deliver, goesOn)
      assert.equal(nameOf(result.state), after === '' ? before : after)
    })
  }
}

test('who is subscribed already is told so again, without asking the user (§3.1.3)', () => {
  for (const state of [FROM, FROM | PENDING_OUT, TO | FROM])
    assert.equal(inbound(state, 'subscribe').reply, 'subscribed')
  assert.equal(inbound(0, 'subscribe').reply, undefined)
})

test('a pre-approval answers the request that comes later, and can be taken back (§3.4)', () => {
  const approved = outbound(0, 'subscribed')
  assert.deepEqual(approved, { state: APPROVED | LISTED, route: false })
  const asked = inbound(approved.state, 'subscribe')
  assert.equal(asked.reply, 'subscribed')
  assert.equal(asked.deliver, false)
  assert.equal(nameOf(asked.state), 'From')
  assert.deepEqual(outbound(approved.state, 'unsubscribed'), { state: LISTED, route: false })
})

test('a stranger who asks is no roster item; who is asked or approved becomes one', () => {
  assert.equal(inbound(0, 'subscribe').state & LISTED, 0)
  assert.notEqual(outbound(0, 'subscribe').state & LISTED, 0)
  assert.notEqual(outbound(PENDING_IN, 'subscribed').state & LISTED, 0)
})

test('the names that clients see', () => {
  assert.deepEqual([0, TO, FROM, TO | FROM, PENDING_OUT].map(subscriptionName), ['none', 'to', 'from', 'both', 'none'])
})
