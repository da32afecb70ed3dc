import { TargetNode, type TargetNodeOptions } from '../target/target-node.ts'

/** A node whose failed authentications others hear of, and that hears of theirs: the wait of an address is one for all. */
export class ShardNode extends TargetNode {
  readonly #failed: (address: string) => void

  constructor(options: TargetNodeOptions, failed: (address: string) => void) {
    super(options)
    this.#failed = failed
  }

  override authenticationFailed(address: string): void {
    this.failedElsewhere(address)
    this.#failed(address)
  }

  failedElsewhere(address: string): void {
    super.authenticationFailed(address)
  }
}
