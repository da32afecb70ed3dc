/** A process that runs seeds: answers each batch with what came of it, and ends with its parent. */
import { type Batch, runBatch } from './soak.ts'

process.on('message', (batch: Batch) => void process.send?.(runBatch(batch)))
