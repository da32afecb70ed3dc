import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseIscsiUrl } from './url.ts'

const IQN = 'iqn.2026-11.test:disk'

describe('iSCSI URLs', () => {
  for (const [text, expected] of [
    [`iscsi://host/${IQN}`, { host: 'host', port: 3260, target: IQN, lun: undefined }],
    [`iscsi://host/${IQN}/`, { host: 'host', port: 3260, target: IQN, lun: undefined }],
    [`ISCSI://192.0.2.1:3261/${IQN.toUpperCase()}/7`, { host: '192.0.2.1', port: 3261, target: IQN, lun: 7 }],
    [`iscsi://[2001:db8::1]:3261/${IQN}/0`, { host: '2001:db8::1', port: 3261, target: IQN, lun: 0 }],
    [
      `iscsi://me%sec%ret@host/${IQN}/0?target_user=it&target_password=its%20own&header_digest=CRC32C&data_digest=none`,
      {
        host: 'host',
        port: 3260,
        target: IQN,
        lun: 0,
        chap: { user: 'me', secret: 'sec%ret', mutual: { user: 'it', secret: 'its own' } },
        headerDigest: ['CRC32C'],
        dataDigest: ['None'],
      },
    ],
    [`iscsi://a/${IQN}/0?paths=discover`, { host: 'a', port: 3260, target: IQN, lun: 0, paths: 'discover' }],
    [
      `iscsi://a/${IQN}/0?paths=b,192.0.2.2:3261,[2001:db8::1]`,
      { host: 'a', port: 3260, target: IQN, lun: 0, paths: ['b', '192.0.2.2:3261', '[2001:db8::1]'] },
    ],
  ] as const) {
    test(text, () => assert.deepEqual(parseIscsiUrl(text), expected))
  }

  for (const [text, message] of [
    ['http://host/x', /must begin with iscsi:/],
    ['iscsi://', /a host and a target/],
    ['iscsi://host', /a host and a target/],
    ['iscsi://host/', /"" is not an iSCSI name/],
    [`iscsi://2001:db8::1/${IQN}`, /needs brackets/],
    [`iscsi://host:0/${IQN}`, /"host:0" is not an address/],
    [`iscsi://host,1/${IQN}`, /is not an address/],
    [`iscsi://host/${IQN}/x`, /LUN must be a number/],
    [`iscsi://host/${IQN}/16384`, /LUN must be a number/],
    [`iscsi://host/${IQN}/1/2`, /more than a LUN/],
    [`iscsi://me@host/${IQN}`, /a user needs a secret/],
    [`iscsi://%secret@host/${IQN}`, /a user needs a secret/],
    [`iscsi://host/${IQN}?target_password=x`, /a secret of our own/],
    [`iscsi://me%x@host/${IQN}?target_user=x`, /needs a target_password/],
    [`iscsi://host/${IQN}?lun=1`, /"lun" is not a parameter/],
    [`iscsi://host/${IQN}?header_digest=md5`, /must be crc32c or none/],
    [`iscsi://host/${IQN}?header_digest=constructor`, /must be crc32c or none/],
    [`iscsi://host/${IQN}?header_digest=none&header_digest=none`, /there twice/],
    [`iscsi://host/${IQN}?paths=a,`, /"" is none/],
    [`iscsi://host/%zz`, /two hexadecimal digits/],
  ] as const) {
    test(`${text} is refused`, () =>
      assert.throws(() => parseIscsiUrl(text), { code: 'URL_INVALID', message }))
  }

  test('no message shows a secret', () => {
    for (const text of [
      `iscsi://me%geheim@host/x`,
      `iscsi://me%geheim@host/${IQN}/x`,
      `iscsi://me%geheim@/${IQN}`,
    ]) {
      assert.throws(
        () => parseIscsiUrl(text),
        (error: Error) => !error.message.includes('geheim'),
      )
    }
  })
})
