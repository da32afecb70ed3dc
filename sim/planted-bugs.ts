/**
 * Bugs that the simulator must find within 1,000 seeds: it is tested by planting each into a copy of the sources.
 * `find` occurs once in `file` (below `packages/cygnet/src/`); where the sources have moved on, the patch has to follow.
 */
export interface PlantedBug {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'drop a StatSN increment',
    file: 'session/target-role/target-connection.ts',
    find: 'this.#statSN = serialAdd(statSN, 1)',
    replace: 'this.#statSN = statSN % 20 === 19 ? statSN : serialAdd(statSN, 1)',
  },
  {
    name: 'deliver out of order',
    file: 'session/target-role/command-window.ts',
    find: 'const command = this.#first\n',
    replace:
      'const after = serialAdd(this.#expCmdSN, 1)\n' +
      '    const late = this.#held.get(after)\n' +
      '    if (this.#first !== undefined && late !== undefined) {\n' +
      '      this.#held.set(after, this.#first)\n' +
      '      this.#first = late\n' +
      '    }\n' +
      '    const command = this.#first\n',
  },
  {
    name: 'acknowledge before flush',
    file: 'store/flush-queue.ts',
    find: 'if (this.#dirty) this.#next.push(done)\n      else this.#current.push(done)',
    replace: 'this.#current.push(done)',
  },
  {
    name: 'forget a reassign',
    file: 'session/target-role/reassignment.ts',
    find: '  session.resume(task)\n',
    replace: "  if (task.state !== 'submitted') session.resume(task)\n",
  },
  {
    name: 'leak a buffer',
    file: 'session/target-role/data-out.ts',
    find: 'for (const buffer of this.#buffers) buffer.release()',
    replace: 'for (const buffer of this.#buffers.slice(0, 3)) buffer.release()',
  },
  {
    name: 'reuse a TTT',
    file: 'session/target-role/target-connection.ts',
    find: 'this.#transferTag >= RESERVED_TAG - 1 ? 1',
    replace: 'this.#transferTag >= 5 ? 1',
  },
  {
    name: 'skip a data digest',
    file: 'pdu/assembler.ts',
    find: 'this.#deliver(this.#received >>> 0 === this.#computed)',
    replace: 'this.#deliver(this.#received >>> 0 === this.#computed || this.#dataLengthBytes > 4000)',
  },
  {
    name: 'lose a unit attention',
    file: 'device/nexus-attentions.ts',
    find: 'for (const nexus of this.#queues.keys()) if (nexus !== except) this.establish(nexus, code)',
    replace:
      'for (const nexus of [...this.#queues.keys()].slice(0, 1)) if (nexus !== except) this.establish(nexus, code)',
  },
  {
    name: 'ignore Time2Retain',
    file: 'session/target-role/session-connections.ts',
    find: 'return defaultTime2Retain === 0 ? 0 : (defaultTime2Wait + defaultTime2Retain) * 1000',
    replace: 'return (defaultTime2Wait + defaultTime2Retain * 0) * 1000',
  },
  {
    name: 'wrong R2TSN',
    file: 'session/target-role/data-out.ts',
    find: 'r2tSN: this.#r2tSN++,',
    replace: 'r2tSN: this.#isRecovering ? this.#r2tSN++ + 1 : this.#r2tSN++,',
  },
]
