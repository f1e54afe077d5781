// Random lives of large mailboxes, whose columns are packed every few rows, by two generations of the configuration: whatever comes, goes and is flagged, and whenever the process dies or the power
// goes. AVISO_FUZZ_SECONDS: for how long; AVISO_FUZZ_SEED: with which dice.

import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fuzz, Random } from '@aviso/mime/testing'
import { HandClock } from '../../../src/kernel/clock.ts'
import { News } from '../../../src/mail/mailboxes/news.ts'
import { NO_LIMITS } from '../../../src/mail/mailboxes/quota.ts'
import { type Packing, Snapshots } from '../../../src/mail/mailboxes/snapshots.ts'
import { columnsOfPacked } from '../../../src/mail/mailboxes/snapshot-operations.ts'
import { mailStore } from '../../../src/mail/mailboxes/store.ts'
import { openStore } from '../../../src/store/open.ts'
import { testScope } from '../../fixtures/scope.ts'
import { Disk } from '../../store/disk.ts'
import { message } from './fixture.ts'
import { ANNA, definitions, Life } from './packing-life.ts'
import type { Box } from './packing-model.ts'

const SECONDS = 8

const folders: string[] = []
after(() => folders.forEach((made) => rmSync(made, { recursive: true, force: true })))
const folder = (): string => {
  const made = mkdtempSync(join(tmpdir(), 'aviso-packing-'))
  folders.push(made)
  return made
}

/** INBOX with rows enough to be packed, and an empty mailbox. */
async function beginning(): Promise<{ readonly data: string; readonly boxes: readonly Box[] }> {
  const data = folder()
  const clock = new HandClock()
  const scope = testScope({ clock })
  const store = await openStore(scope, { folder: data, definitions })
  const calls = store.account(mailStore, ANNA)
  await calls.prepare({ mailboxes: [] })
  await calls.create({ name: 'a', role: undefined, limits: NO_LIMITS })
  await scope.close()
  const life = await Life.begin(data, [], new Random(1), clock)
  await life.found('INBOX')
  await life.found('a')
  await life.fill(1000)
  await life.close()
  return { data, boxes: life.boxes }
}

const NEW = { flags: [], internalDate: undefined, zone: undefined }

const copyOf = (box: Box): Box => ({ ...box, states: new Map(box.states) })

test('large mailboxes are shown as they are, and snapshots stay as they were handed out', async (context) => {
  const begun = await beginning()
  const packed = [0, 0]
  await fuzz(
    context,
    async (random) => {
      const disk = await Disk.of(random)
      const clock = new HandClock()
      let data = folder()
      cpSync(begun.data, data, { recursive: true })
      let boxes: readonly Box[] = begun.boxes.map(copyOf)
      let before: unknown
      try {
        for (let lives = 1 + random.below(4); lives > 0; lives--) {
          const life = await Life.begin(data, boxes, random, clock)
          try {
            if (before !== undefined)
              assert.deepEqual(await life.dump(), before, 'what is carried out again is the same')
            for (const box of boxes) await life.check(box)
            for (let steps = 2 + random.below(25); steps > 0; steps--) {
              await life.step()
              life.settle()
            }
            life.sameAsThen()
            for (const part of await life.parts()) packed[part] = (packed[part] ?? 0) + 1
            before = await life.dump()
            boxes = life.boxes
            if (random.once(4)) continue
            const left = folder()
            if (random.once(2)) cpSync(data, left, { recursive: true })
            else disk.lose(data, left, random)
            data = left
          } finally {
            await life.close()
          }
        }
      } finally {
        disk.restore()
      }
    },
    SECONDS,
  )
  assert.ok((packed[0] ?? 0) > 0)
  context.diagnostic(`${packed.join(', ')} times packed in a first and a second part`)
})

test('rows are packed behind those alone that whoever packs them means', async () => {
  const { data, boxes } = await beginning()
  const clock = new HandClock()
  const scope = testScope({ clock })
  try {
    const store = await openStore(scope, { folder: data, definitions })
    const calls = store.account(mailStore, ANNA)
    const { id: mailbox, uidNext } = boxes.find(({ name }) => name === 'INBOX') ?? assert.fail()
    const generation = (packing: Packing) => new Snapshots(scope, 1e8, new News(store.bus), packing)
    const [behind, whole] = [
      generation({ worth: 1, few: 2, loose: 1000, changes: 1000 }),
      generation({ worth: 1, few: 2, loose: 0, changes: 1000 }),
    ]
    const look = async (snapshots: Snapshots): Promise<void> => {
      await snapshots.snapshot(ANNA, calls, mailbox)
      clock.turn(3000)
    }
    const come = (count: number) => {
      const messages = Array.from({ length: count }, () => ({ ...NEW, message: { bytes: message('new') } }))
      return calls.append({ name: 'INBOX', messages, limits: NO_LIMITS })
    }
    await look(behind)
    await look(whole)
    await come(20)
    await look(whole)
    const { packed } = await calls.begin({ mailbox })
    assert.deepEqual([packed?.kept.behind, packed?.kept.uidNext], [0, uidNext + 20])
    // This one knows of an older first part only: what it would put behind that is there already.
    await come(5)
    await look(behind)
    const { uids } = columnsOfPacked((await calls.begin({ mailbox })).packed ?? assert.fail())
    assert.deepEqual(
      uids,
      uids.toSorted().filter((uid, i, all) => uid !== all[i - 1]),
    )
    assert.equal(uids.at(-1), uidNext + 19)
  } finally {
    await scope.close()
  }
})
