import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseIscsiUrl, withUrl } from './url.ts'

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
    [
      `iscsi://a/${IQN}/0?connections=4&task_timeout=20&reopen_limit=0`,
      {
        host: 'a',
        port: 3260,
        target: IQN,
        lun: 0,
        connections: 4,
        taskTimeoutMs: 20_000,
        reopenLimitMs: 0,
      },
    ],
    [`iscsi://a/${IQN}/0?tls`, { host: 'a', port: 3260, target: IQN, lun: 0, tls: {} }],
    [
      `iscsi://a/${IQN}/0?tls_ca=/etc/ca%20.crt&tls_server_name=b&tls_cert=c&tls_key=d&tls_psk=e`,
      {
        host: 'a',
        port: 3260,
        target: IQN,
        lun: 0,
        tls: { caFile: '/etc/ca .crt', serverName: 'b', certFile: 'c', keyFile: 'd', pskFile: 'e' },
      },
    ],
    [`iscsi://me@a/${IQN}/0`, { host: 'a', port: 3260, target: IQN, lun: 0, user: 'me' }],
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
    [`iscsi://me%@host/${IQN}`, /user or user%secret/],
    [`iscsi://%secret@host/${IQN}`, /user or user%secret/],
    [`iscsi://host/${IQN}?target_password=x`, /a secret of our own/],
    [`iscsi://me%x@host/${IQN}?target_user=x`, /needs a target_password/],
    [`iscsi://host/${IQN}?lun=1`, /"lun" is not a parameter/],
    [`iscsi://host/${IQN}?header_digest=md5`, /must be crc32c or none/],
    [`iscsi://host/${IQN}?header_digest=constructor`, /must be crc32c or none/],
    [`iscsi://host/${IQN}?header_digest=none&header_digest=none`, /there twice/],
    [`iscsi://host/${IQN}?connections=0`, /from 1 to 32/],
    [`iscsi://host/${IQN}?task_timeout=1.5`, /from 0 to 86400/],
    [`iscsi://host/${IQN}?tls=1`, /tls has no value/],
    [`iscsi://host/${IQN}?tls_ca=`, /tls_ca needs a value/],
    [`iscsi://host/${IQN}?iser`, /RDMA/],
    [`iser://host/${IQN}`, /RDMA/],
    [`iscsi://me@host/${IQN}?target_password=x`, /a secret of our own/],
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

describe('a URL and options together', () => {
  test('what the options say goes first', () => {
    const { connections, reopenLimitMs } = withUrl(`iscsi://a/${IQN}?connections=2&reopen_limit=9`, {
      connections: 3,
    })
    assert.deepEqual([connections, reopenLimitMs], [3, 9000])
  })

  test('the secret of a user that the URL names is in the options', () => {
    const chap = { user: 'me', secret: 'of me and nobody else' }
    assert.deepEqual(withUrl(`iscsi://me@a/${IQN}`, { chap }).chap, chap)
    assert.throws(() => withUrl(`iscsi://me@a/${IQN}`, {}), {
      code: 'CREDENTIALS_INVALID',
      message: /the user "me" and no secret/,
    })
  })
})
