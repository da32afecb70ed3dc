import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { nexusNamed } from './disk.test-helper.ts'
import { NexusAttentions } from './nexus-attentions.ts'

const { capacityDataChanged, modeParametersChanged, nexusLoss, powerOnOrReset } = AdditionalSense

function setUp() {
  const attentions = new NexusAttentions()
  const one = nexusNamed('one')
  const two = nexusNamed('two')
  for (const nexus of [one, two]) {
    attentions.attach(nexus)
    assert.equal(attentions.take(nexus), powerOnOrReset)
  }
  return { attentions, one, two }
}

describe('the unit attentions of nexuses', () => {
  it('know when nobody has anything to hear, whichever way it was cleared', () => {
    const { attentions, one, two } = setUp()
    assert.equal(attentions.hasAny, false)
    attentions.establishForAll(capacityDataChanged)
    attentions.establish(one, modeParametersChanged)
    attentions.establish(one, modeParametersChanged)
    assert.deepEqual([attentions.count(one), attentions.count(two)], [2, 1])
    attentions.clear(one, capacityDataChanged)
    attentions.clear(one, capacityDataChanged)
    assert.equal(attentions.hasAny, true)
    assert.equal(attentions.take(one), modeParametersChanged)
    attentions.detach(two, 'logout')
    assert.equal(attentions.hasAny, false)
    attentions.establish(two, capacityDataChanged)
    assert.equal(attentions.hasAny, false, 'it is gone')
  })

  it('count one condition where a reset takes the place of others', () => {
    const { attentions, one } = setUp()
    attentions.establish(one, capacityDataChanged)
    attentions.establish(one, modeParametersChanged)
    attentions.establish(one, powerOnOrReset)
    assert.equal(attentions.count(one), 1)
    assert.equal(attentions.take(one), powerOnOrReset)
    assert.equal(attentions.hasAny, false)
  })

  it('are for all nexuses but the one that caused them', () => {
    const { attentions, one, two } = setUp()
    attentions.establishForAll(modeParametersChanged, one)
    assert.deepEqual([attentions.first(one), attentions.first(two)], [undefined, modeParametersChanged])
  })

  it('are remembered for a lost port as its loss, once', () => {
    const { attentions, one } = setUp()
    attentions.establish(one, capacityDataChanged)
    attentions.detach(one, 'nexus-loss')
    const again = nexusNamed('one')
    attentions.attach(again)
    assert.equal(attentions.take(again), nexusLoss)
    assert.equal(attentions.take(again), undefined)
    attentions.detach(again, 'logout')
    attentions.attach(nexusNamed('one'))
    assert.equal(attentions.hasAny, true)
  })
})
