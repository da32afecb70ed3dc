import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InitiatorTask } from './initiator-task.ts'
import { ScsiRequest } from './scsi-request.ts'
import { tagAfter, TaskTable } from './task-table.ts'

const request = new ScsiRequest({ lun: 0, cdb: new Uint8Array(6) }, () => undefined)
const taskOf = (tag: number): InitiatorTask => new InitiatorTask(request, tag, tag, 16)

test('tasks are found by their tags, and those that are gone are not', () => {
  const table = new TaskTable()
  const tasks = [1, 2, 0xffff_fffe].map(taskOf)
  for (const task of tasks) table.add(task)
  for (const task of tasks) assert.equal(table.get(task.initiatorTaskTag), task)
  assert.equal(table.get(3), undefined)
  table.delete(tasks[1] as InitiatorTask)
  assert.equal(table.get(2), undefined)
  assert.equal(table.size, 2)
  assert.deepEqual(new Set(table.values()), new Set([tasks[0], tasks[2]]))
})

test('a task that has lived for long keeps its place, and nothing else is found there', () => {
  const table = new TaskTable()
  const old = taskOf(5)
  table.add(old)
  for (let tag = 6; tag < 100_000; tag++) {
    if (table.isTaken(tag)) {
      assert.equal(table.get(tag), undefined)
      continue
    }
    const task = taskOf(tag)
    table.add(task)
    table.delete(task)
  }
  assert.equal(table.get(5), old)
})

test('it takes as many tasks as there are tags to give', () => {
  const table = new TaskTable()
  const tasks: InitiatorTask[] = []
  for (let tag = 7; tasks.length < 5000; tag++) {
    if (table.isTaken(tag)) continue
    tasks.push(taskOf(tag))
    table.add(tasks.at(-1) as InitiatorTask)
  }
  assert.equal(table.size, 5000)
  for (const task of tasks) assert.equal(table.get(task.initiatorTaskTag), task)
})

test('tags begin anew after the last one, and leave out those that mean something else', () => {
  assert.equal(tagAfter(1), 2)
  assert.equal(tagAfter(0xffff_fffe), 1)
})
