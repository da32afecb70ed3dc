import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { IscsiTask } from './iscsi-task.ts'
import { TaskTable } from './task-table.ts'

const newTask = (tag: number): IscsiTask => ({ tag, arrival: 0 }) as IscsiTask

/** Tags that share their places, whatever the size of the table, and others. */
const tag = fc.oneof(
  fc.integer({ min: 0, max: 8 }),
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.integer({ min: 0, max: 200 }).map((n) => (n * 0x1000_0000) >>> 0),
)

test('it holds what a map holds, in the order of arrival, whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(tag, { maxLength: 400 }), (tags) => {
      const table = new TaskTable()
      const model = new Map<number, IscsiTask>()
      for (const each of tags) {
        const known = model.get(each)
        assert.equal(table.get(each), known)
        if (known) {
          table.delete(known)
          model.delete(each)
        } else {
          const task = newTask(each)
          table.add(task)
          model.set(each, task)
        }
        assert.equal(table.size, model.size)
      }
      assert.deepEqual(table.values(), [...model.values()])
      for (const [each, task] of model) assert.equal(table.get(each), task)
    }),
  )
})

test('a task that is not there, or another with its tag, is not deleted', () => {
  const table = new TaskTable()
  const task = newTask(7)
  table.add(task)
  table.delete(newTask(7))
  table.delete(newTask(8))
  assert.equal(table.get(7), task)
  assert.equal(table.size, 1)
})
