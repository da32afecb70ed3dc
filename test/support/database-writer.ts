/**
 * A process that writes to a SQLite database until it is killed: `database-writer.ts FILE`. Each transaction adds ROWS rows, the last of
 * each overwrites an older one, and its number is printed when it is committed.
 */
import { createHash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'

export const ROWS = 5

/** What is in a row: anybody can say whether it is right. */
export const contentOf = (id: number, transaction: number): string =>
  createHash('sha256').update(`${id} ${transaction}`).digest('hex').repeat(20)

function write(path: string): void {
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec(
    'CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, transaction_id INTEGER, content TEXT)',
  )
  const put = database.prepare('INSERT OR REPLACE INTO rows VALUES (?, ?, ?)')
  const last = database.prepare('SELECT max(transaction_id) AS last FROM rows').get() as {
    last: number | null
  }
  for (let transaction = (last.last ?? 0) + 1; ; transaction++) {
    database.exec('BEGIN')
    for (let i = 0; i < ROWS; i++) {
      // One in so many goes where a row is already.
      const id = i === 0 ? Math.ceil((transaction * ROWS) / 2) : transaction * ROWS + i
      put.run(id, transaction, contentOf(id, transaction))
    }
    database.exec('COMMIT')
    process.stdout.write(`${transaction}\n`)
  }
}

if (process.argv[1] === import.meta.filename) write(process.argv[2] ?? '')
