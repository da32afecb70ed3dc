/**
 * Linux and its SCSI tools on disks of every kind: sg3-utils, ddpt, discard, XFS under load while it grows, write-protected and
 * removable disks, and multipath that follows ALUA states. What the tools say is judged, not only that they succeed.
 */
import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { type Configuration, startConfigured } from '../support/configured.ts'
import { requireGuest } from '../support/guest.ts'
import { GuestShell } from '../support/guest-shell.ts'
import { freePort, Scratch } from '../support/scratch.ts'
import { type Subject, subjectName, until } from '../support/subject.ts'

const TARGET = 'iqn.2026-11.dev.example:scsi'
const MIB = 1 << 20
const Lun = { thin: 0, large: 1, files: 2, readOnly: 3, stick: 4, vault: 5 } as const
const FILES_MIB = 320
const GROWN_MIB = 448

/** `d LUN` and `g LUN` are the block device and the SCSI device of a disk; `refused CODE` runs what must exit with that code. */
const PREAMBLE = `
d() { echo /dev/$(ls /sys/class/scsi_device/0:0:0:$1/device/block); }
g() { echo /dev/$(ls /sys/class/scsi_device/0:0:0:$1/device/scsi_generic); }
refused() { local code=0; "\${@:2}" || code=$?; echo "exit code $code"; [ $code = $1 ]; }
D=$(d ${Lun.thin} 2>/dev/null); V=$(d ${Lun.vault} 2>/dev/null)
pattern=/tmp/pattern
`

interface Check {
  readonly name: string
  readonly script: string
  /** What must be in the output, in this order. */
  readonly says: readonly RegExp[]
}

const allocation = (...extents: readonly (readonly [lba: string, blocks: number, state: string])[]): RegExp =>
  new RegExp(
    extents
      .map(([lba, blocks, state]) => `LBA: 0x0*${lba} +blocks: +${blocks} +${state}`)
      .join(String.raw`.*\n\[\d\] `),
  )

/** Each leaves the disks such that the next finds what it needs. */
const tools: readonly Check[] = [
  {
    name: 'sg_inq, sg_luns, sg_readcap',
    script: `sg_inq $D; sg_luns $D; sg_readcap -l $D; sg_readcap $(d ${Lun.large})`,
    says: [
      /PQual=0 +PDT=0 +RMB=0 .*version=0x06 +\[SPC-4\]/,
      /TPGS=3 +3PC=1/,
      /CmdQue=1/,
      /Vendor identification: CYGNET/,
      /imples 6 lun entries/,
      /lbpme=1, lbprz=1/,
      /Number of logical blocks=131072\n.*length=512 bytes\n.*physical block length=4096 bytes/,
      /Last LBA=4095 .*\n.*length=4096 bytes/,
    ],
  },
  {
    name: 'sg_vpd -a: every page decodes',
    script: 'sg_vpd -a $D',
    says: [
      /Unit serial number: [0-9A-F]{16}\n/,
      /designator type: NAA, +code set: Binary\n +0x3[0-9a-f]{15}\n/,
      /Relative target port: 0x1\n/,
      /SIMPSUP=1\n/,
      /SCSI Ports VPD page:\n +Relative port=1\n(?:.*\n)+? +Relative port=2\n/,
      /Block Device ROD Token Limits:\n/,
      /Supported commands:\n +Extended copy\(LID1\)\n/,
      /ROD type: access upon reference \[0x10000\]\n/,
      /Maximum compare and write length: [1-9]\d* blocks\n/,
      /Maximum unmap LBA count: [1-9]\d*\n/,
      /Optimal unmap granularity: 8 blocks\n/,
      /Non-rotating medium/,
      /\(LBPU\): 1\n.*\(LBPWS\): 1\n.*\(LBPWS10\): 1\n.*\(LBPRZ\): 1\n/,
      /Provisioning type: 2 \(thin provisioned\)/,
    ],
  },
  {
    name: 'sg_opcodes lists the commands, and tells one',
    script: 'sg_opcodes -a $D; sg_opcodes -t $D; sg_opcodes -R -o 0x89 $D; sg_opcodes -n -p 0 -o 0x7e $D',
    says: [
      / 89 +16 .*Compare and write\n/,
      / 83 +1 +16 .*Extended copy\n/,
      / 9e +12 +16 .*Get LBA status\(16\)\n/,
      / 5f +7 +10 .*register and move\n/,
      / a3 +f +12 .*Report timestamp\n/,
      / 48 +1 +10 .*Sanitize, overwrite\n/,
      / 42 +10 .*Unmap\n/,
      /Abort task\n +Abort task set\n +Clear ACA\n +Clear task set\n +Logical unit reset\n/,
      /Command is supported[^]*Usage data: 89 18 ff ff ff ff ff ff ff ff 00 00 00 ff 3f 04[^]*recommended timeout: 60 secs/,
      /Opcode=0x7e\n[^]*Command is NOT supported/,
    ],
  },
  {
    name: 'sg_logs, sg_modes, sg_timestamp, sg_ident',
    script: `sg_logs -a $D; sg_modes -a $D
      sg_timestamp --milliseconds=1600000000000 $D; sg_timestamp $D
      echo a-label >/tmp/label; sg_ident --set $D </tmp/label; sg_ident --ascii $D; sg_ident --clear $D`,
    says: [
      /Supported log pages/,
      /Total uncorrected errors = 0\n/,
      /Current temperature = <not available>/,
      /Accumulated start-stop cycles = 0\n/,
      /Percentage used endurance indicator: 0 %/,
      /WP=0, DpoFua=1/,
      /Caching, page_control: current\n 00 +88 12 04 /,
      /^16000000\d{5}$/m,
      /^a-label$/m,
    ],
  },
  {
    // Debian's sg_read_buffer 1.46 asks for no bytes, whatever it is told.
    name: 'sg_write_buffer, sg_test_rwbuf, sg_senddiag',
    script: `echo 0123456789abcdef >/tmp/echo; sg_write_buffer --mode=echo --in=/tmp/echo $D
      sg_raw -r 16 $D 3c 0a 00 00 00 00 00 00 10 00 2>&1; sg_test_rwbuf -s 4096 $D; sg_senddiag -t $D`,
    says: [/ 0123456789abcdef$/m, /^Success$/m, /Default self-test returned GOOD status/],
  },
  {
    name: 'sg_unmap and sg_get_lba_status',
    script: `sg_get_lba_status -m 4096 $D
      dd if=/dev/urandom of=$pattern bs=64k count=32 status=none
      dd if=$pattern of=$D bs=64k oflag=direct status=none; sg_sync $D
      sg_get_lba_status -m 4096 $D
      sg_unmap --force --lba=64 --num=256 $D
      sg_get_lba_status -m 4096 $D; sg_get_lba_status -m 4096 --lba=100 $D
      dd if=$D iflag=direct bs=512 skip=64 count=256 status=none | cmp -n 131072 - /dev/zero
      dd if=$D iflag=direct bs=512 count=64 status=none | cmp -n 32768 - $pattern && echo the rest is there`,
    says: [
      allocation(['0', 131_072, 'deallocated']),
      allocation(['0', 4096, 'mapped'], ['1000', 126_976, 'deallocated']),
      allocation(['0', 64, 'mapped'], ['40', 256, 'deallocated'], ['140', 3776, 'mapped']),
      allocation(['64', 220, 'deallocated']),
      /the rest is there/,
    ],
  },
  {
    name: 'sg_write_same: bytes, NDOB, UNMAP',
    script: `head -c 512 $pattern >/tmp/block
      sg_write_same --10 --in=/tmp/block --xferlen=512 --lba=64 --num=16 $D
      for skip in 64 79; do dd if=$D iflag=direct bs=512 skip=$skip count=1 status=none | cmp - /tmp/block; done
      dd if=$D iflag=direct bs=512 skip=80 count=1 status=none | cmp -n 512 - /dev/zero && echo written 16 times
      sg_write_same --16 --ndob --lba=64 --num=8 $D
      dd if=$D iflag=direct bs=512 skip=64 count=8 status=none | cmp -n 4096 - /dev/zero && echo zeroed
      sg_get_lba_status -m 4096 --lba=64 $D
      sg_write_same --16 --unmap --ndob --lba=64 --num=16 $D
      sg_get_lba_status -m 4096 --lba=64 $D
      refused 5 sg_write_same --32 --lba=64 --num=8 $D`,
    says: [
      /written 16 times\nzeroed\n/,
      allocation(['40', 16, 'mapped'], ['50', 240, 'deallocated']),
      allocation(['40', 256, 'deallocated']),
      /exit code 5/,
    ],
  },
  {
    name: 'sg_compare_and_write, sg_verify, sg_write_verify, sg_write_x',
    script: `dd if=$pattern of=/tmp/was bs=512 count=2 status=none
      dd if=$pattern of=/tmp/next bs=512 skip=4 count=2 status=none
      sg_compare_and_write --in=/tmp/was --inw=/tmp/next --lba=0 --num=2 --xferlen=2048 $D
      dd if=$D iflag=direct bs=512 count=2 status=none | cmp - /tmp/next && echo written
      refused 14 sg_compare_and_write --in=/tmp/was --inw=/tmp/next --lba=0 --num=2 --xferlen=2048 $D
      sg_verify --lba=0 --count=2 --ndo=1024 --in=/tmp/next $D
      refused 14 sg_verify --lba=1 --count=2 --ndo=1024 --in=/tmp/next $D
      sg_write_verify --16 --lba=0 --num=2 --in=/tmp/was $D; sg_verify --16 --lba=0 --count=2 --ndo=1024 --in=/tmp/was $D
      sg_write_x --atomic=0 --16 --lba=8 --num=8 --in=$pattern --bs=512 $D
      dd if=$D iflag=direct bs=512 skip=8 count=8 status=none | cmp - <(head -c 4096 $pattern) && echo whole
      sg_write_x --or --16 --lba=64 --num=2 --in=/tmp/was --bs=512 $D
      dd if=$D iflag=direct bs=512 skip=64 count=2 status=none | cmp - /tmp/was && echo or-ed`,
    says: [/^written$/m, /MISCOMPARE/i, /exit code 14/, /exit code 14/, /^whole$/m, /^or-ed$/m],
  },
  {
    name: 'sg_xcopy and ddpt copy from disk to disk',
    script: `mkdir -p /dev/block
      for disk in $D $V; do ln -sf $disk /dev/block/$(cat /sys/block/$(basename $disk)/dev); done
      dd if=$pattern of=$D bs=64k oflag=direct status=none
      sg_xcopy if=$D of=$V bs=512 count=4096
      dd if=$V iflag=direct bs=64k count=32 status=none | cmp - $pattern && echo by EXTENDED COPY
      blkdiscard $V
      ddpt if=$D iflag=xcopy of=$V bs=512 count=2048 seek=8
      dd if=$V iflag=direct bs=4k skip=1 count=256 status=none | cmp - <(head -c 1M $pattern) && echo with an offset
      sg_copy_results -p $D`,
    says: [
      /sg_xcopy: 4096 blocks, 1 command/,
      /^by EXTENDED COPY$/m,
      /1 xcopy command done/,
      /^with an offset$/m,
      /Maximum segment descriptor count: 64/,
    ],
  },
  {
    name: 'sg_sanitize: overwrite, block erase, cryptographic erase, at once and in the background; sg_format',
    script: String.raw`printf '\x01\x00\x00\x04\x01\x02\x03\x04' >/tmp/sanitize
      dd if=$pattern of=$V bs=64k oflag=direct status=none
      printf '\xde\xad' >/tmp/ipl; sg_sanitize -O -Q --wait --pattern=/tmp/ipl --ipl=2 --count=2 --invert $V >/dev/null
      dd if=$V iflag=direct bs=64k skip=255 count=1 status=none | od -An -v -tx1 | sort -u
      dd if=$pattern of=$V bs=64k oflag=direct status=none
      sg_sanitize -B -Q --wait $V >/dev/null; sg_get_lba_status $V
      dd if=$pattern of=$V bs=64k oflag=direct status=none
      sg_sanitize -C -Q --wait $V >/dev/null
      dd if=$V iflag=direct bs=64k count=32 status=none >/tmp/erased
      cmp /tmp/erased $pattern || echo other bytes; cmp -n 65536 /tmp/erased /dev/zero || echo not zeroes
      sg_raw -s 8 -i /tmp/sanitize $(g ${Lun.vault}) 48 81 00 00 00 00 00 00 08 00 2>/dev/null
      until sg_turs $V 2>/tmp/turs; do sg_requests --progress --num=1 $V; sleep 0.2; done
      dd if=$V iflag=direct bs=64k skip=255 count=1 status=none | od -An -v -tx1 | sort -u
      refused 5 sg_sanitize -C -Q --wait $D
      sg_format --format --quick --wait $V; sg_get_lba_status $V`,
    says: [
      /^( de ad){8}$/m,
      allocation(['0', 32_768, 'deallocated']),
      /^other bytes$/m,
      /^not zeroes$/m,
      /^( 01 02 03 04){4}$/m,
      /exit code 5/,
      allocation(['0', 32_768, 'deallocated']),
    ],
  },
  {
    name: 'what Linux makes of the limits',
    script: `cd /sys/block/$(basename $D)
      for name in discard_max_bytes discard_granularity optimal_io_size minimum_io_size rotational fua write_cache
      do echo $name $(cat queue/$name); done
      echo $(cat device/scsi_disk/*/provisioning_mode) $(cat device/scsi_disk/*/zeroing_mode) $(cat device/wwid)
      cat /sys/block/$(basename $(d ${Lun.large}))/queue/logical_block_size`,
    says: [
      /discard_max_bytes [1-9]\d{6,}\n/,
      /discard_granularity 4096\noptimal_io_size 1048576\nminimum_io_size 4096\n/,
      /rotational 0\nfua 1\nwrite_cache write back\n/,
      /unmap writesame_16_unmap naa\.3[0-9a-f]{15}\n/,
      /^4096$/m,
    ],
  },
  {
    name: 'a write-protected disk',
    script: `R=$(d ${Lun.readOnly}); lsblk -dno RO,SIZE $R; dmesg | grep -o "$(basename $R)\\] Write Protect is on"
      sg_modes -p 0xa $R | grep -o WP=1
      refused 1 dd if=/dev/zero of=$R bs=4k count=1; blockdev --setrw $R; refused 1 dd if=/dev/zero of=$R bs=4k count=1
      refused 7 sg_raw -s 512 -i /dev/zero $(g ${Lun.readOnly}) 2a 00 00 00 00 00 00 00 01 00
      refused 7 sg_write_same --16 --ndob --lba=0 --num=8 $(g ${Lun.readOnly})
      dd if=$R bs=16 count=1 status=none; echo`,
    says: [
      /^ *1 +1M$/m,
      /Write Protect is on/,
      /WP=1/,
      /Read-only file system[^]*Read-only file system/,
      /Data Protect\nAdditional sense: Write protected[^]*exit code 7[^]*exit code 7/,
      /^read onlyread on$/m,
    ],
  },
  {
    name: 'a removable disk: locked while it is open, ejected, loaded again',
    script: `S=$(d ${Lun.stick}); G=$(g ${Lun.stick}); lsblk -dno RM,SIZE $S
      exec 5<$S; refused 5 sg_start -v --eject $G; exec 5<&-
      sg_start --eject $G
      refused 2 sg_turs -v $G; refused 1 dd if=$S of=/dev/null count=1; lsblk -dno SIZE $S
      sg_start --load $G; sg_turs $S; dd if=$S of=/dev/null count=1 status=none; lsblk -dno RM,SIZE $S`,
    says: [
      /^ *1 +16M$/m,
      /Medium removal prevented[^]*exit code 5/,
      /Medium not present[^]*exit code 2/,
      /No medium found[^]*exit code 1\n +0B\n/,
      /^ *1 +16M$/m,
    ],
  },
  {
    name: 'blkdiscard, with and without zeroes, on blocks of 4096 bytes',
    script: `L=$(d ${Lun.large}); dd if=$pattern of=$L bs=64k oflag=direct status=none
      blkdiscard --offset 64K --length 64K $L; sg_get_lba_status -m 4096 $L
      blkdiscard -z --offset 128K --length 64K $L
      dd if=$L iflag=direct bs=64k skip=1 count=2 status=none | cmp -n 131072 - /dev/zero && echo zeroes
      blkdiscard $L; sg_get_lba_status -m 4096 $L`,
    says: [
      allocation(['0', 16, 'mapped'], ['10', 16, 'deallocated'], ['20', 480, 'mapped']),
      /^zeroes$/m,
      allocation(['0', 4096, 'deallocated']),
    ],
  },
]

/** Finds each after the one before it. */
function assertSays(output: string, says: readonly RegExp[]): void {
  let at = 0
  for (const regex of says) {
    const match = regex.exec(output.slice(at))
    assert.ok(match, `${regex} is not in, or not there:\n${output}`)
    at += match.index + match[0].length
  }
}

/** XFS on a disk that becomes larger while it is in use. */
async function judgeFileSystem(
  t: TestContext,
  shell: GuestShell,
  subject: Subject,
  image: string,
): Promise<void> {
  shell.share('file-load.py')
  const fs = `F=$(d ${Lun.files}); `
  const load = (round: number): string => `pids=
    for i in 1 2; do python3 /host/file-load.py /mnt/${round}-$i ${round}$i 250 /tmp/sums-${round}-$i & pids="$pids $!"; done
    ${round === 1 ? 'sleep 1; fstrim -v /mnt' : 'xfs_growfs /mnt'}
    for pid in $pids; do wait $pid; done
    wc -l /tmp/sums-*`
  await t.test('XFS: random work on files, and fstrim', async () => {
    const output = await shell.ok(`${fs} mkfs.xfs -q $F; mkdir -p /mnt; mount $F /mnt; ${load(1)}`)
    assertSays(output, [/\d+ bytes\) trimmed/, /[1-9]\d* total/])
  })

  await t.test('an image that grows is seen without a new login', async () => {
    const size = `${fs} echo size $(($(blockdev --getsize64 $F) >> 20)); iscsiadm -m session`
    const session = /size 320\n.*(\[\d+\] .*)/.exec(await shell.ok(size))?.[1]
    truncateSync(image, GROWN_MIB * MIB)
    process.kill(subject.pid, 'SIGHUP')
    assert.ok(await until(() => /grown|larger/.test(subject.stderr), 5000), subject.stderr)
    // Linux hears of it with its next command, and says so; it looks when it is told to.
    const heard = await shell.ok(`${fs} udevadm monitor --kernel --property >/tmp/events & sleep 1
      dd if=$F of=/dev/null iflag=direct count=1 status=none; sleep 1; kill $!; grep SDEV_UA /tmp/events
      dmesg | tail -n 3; ${size}
      echo 1 >/sys/block/$(basename $F)/device/rescan; ${size}; dmesg | tail -n 2`)
    assertSays(heard, [
      /SDEV_UA=CAPACITY_DATA_HAS_CHANGED/,
      /Capacity data has changed/,
      new RegExp(`size ${FILES_MIB}\n`),
      new RegExp(`size ${GROWN_MIB}\n`),
      /detected capacity change/,
    ])
    assert.ok(session !== undefined && heard.includes(session), 'it is the same session')
  })

  await t.test('XFS grows under load; what was written is there, xfs_repair has nothing to do', async () => {
    const output = await shell.ok(`${fs} ${load(2)}
      umount /mnt; xfs_repair -n $F; mount $F /mnt; df -m --output=size /mnt
      cat /tmp/sums-* | sha256sum -c --quiet; echo $(find /mnt -type f | wc -l) files, $(cat /tmp/sums-* | wc -l) sums
      fstrim -v /mnt; umount /mnt; blkdiscard -f $F; sg_get_lba_status -m 4096 $F`)
    assertSays(output, [
      /data blocks changed from \d+ to \d+/,
      /No modify flag set, skipping filesystem flush and exiting/,
      /^ *[34]\d\d$/m,
      /(\d+) files, \1 sums/,
      /bytes\) trimmed/,
      allocation(['0', GROWN_MIB * 2048, 'deallocated']),
    ])
    assert.doesNotMatch(output, /would (?:have|rebuild|clear|reset|fix)|bad |FAILED/)
  })
}

/** Two portals of unequal worth, whose states change while the disk is in use. */
async function judgeMultipath(t: TestContext, shell: GuestShell, portals: readonly string[]): Promise<void> {
  const [first = '', second = ''] = portals
  await t.test('udev names the disk; multipath makes one of its two paths, by ALUA priority', async () => {
    const output = await shell.ok(`iscsiadm -m session -u >/dev/null
      /lib/systemd/systemd-udevd --daemon
      mkdir -p /etc/multipath
      cat >/etc/multipath.conf <<CONF
      defaults {
        find_multipaths no
        user_friendly_names yes
        path_grouping_policy group_by_prio
        prio alua
        failback immediate
        polling_interval 1
        max_polling_interval 1
      }
CONF
      for portal in ${first} ${second}; do
        iscsiadm -m node -T ${TARGET} -p $portal -o new >/dev/null || :
        iscsiadm -m node -T ${TARGET} -p $portal -o update -n node.session.scan -v manual
        iscsiadm -m node -T ${TARGET} -p $portal --login
      done
      for host in /sys/class/scsi_host/*; do echo "0 0 0" >$host/scan; done
      udevadm settle
      udevadm info -q property /dev/sda; ls /dev/disk/by-id /dev/disk/by-path
      multipathd`)
    assertSays(output, [
      /SCSI_IDENT_SERIAL=[0-9A-F]{16}\n/,
      /SCSI_IDENT_PORT_TARGET_PORT_GROUP=0x1\n/,
      /ID_WWN=0x3[0-9a-f]{15}\n/,
      /^scsi-33[0-9a-f]{15}$/m,
      /^wwn-0x3[0-9a-f]{15}$/m,
      ...portals.toSorted().map((portal) => new RegExp(`^ip-${portal}-iscsi-${TARGET}-lun-0$`, 'm')),
    ])
  })

  const states: readonly (readonly [what: string, change: string, shows: RegExp])[] = [
    [
      'as they begin',
      '',
      /prio=50 .*\n.* sda .*active ready running\n.*prio=10 .*\n.* sdb .*active ready running/,
    ],
    ['the better path becomes standby', 'sg_stpg --tp=1 --state=2', / prio=1 .*\n.* sda .*active ghost/],
    ['unavailable', 'sg_stpg --tp=1 --state=3', / sda .*(?:faulty|failed)/],
    [
      'the paths change places',
      'sg_stpg --tp=1,2 --state=1,0',
      /prio=50 .*\n.* sdb .*active ready running\n.*prio=10 .*\n.* sda .*active ready running/,
    ],
  ]
  for (const [what, change, shows] of states) {
    // oxlint-disable-next-line no-await-in-loop -- one disk, one state after the other
    await t.test(`multipath follows: ${what}`, async () => {
      const output = await shell.ok(`dd if=/dev/urandom of=/tmp/pattern bs=64k count=4 status=none
        ${change && `for try in 1 2 3; do ${change} /dev/sdb && break; done`}
        for try in $(seq 60); do
          multipathd show topology >/tmp/map
          grep -Pzq '${shows.source}' /tmp/map && break
          sleep 0.3
        done
        multipath -ll >/tmp/map; cat /tmp/map
        dd if=/tmp/pattern of=/dev/mapper/mpatha bs=64k oflag=direct status=none
        dd if=/dev/mapper/mpatha of=/tmp/copy bs=64k count=4 iflag=direct status=none
        cmp /tmp/pattern /tmp/copy && echo the disk works
        for disk in sda sdb; do cat /sys/block/$disk/device/access_state; done`)
      assertSays(output, [shows, /the disk works/])
    })
  }

  await t.test('and all is let go again', async () => {
    await shell.ok(`multipath -f mpatha; multipathd shutdown; iscsiadm -m session -u
      [ -z "$(ls /sys/class/iscsi_session)" ]`)
  })
}

// tgt has neither the disks of each kind nor portal groups.
if (subjectName() === 'cygnet') {
  test("Linux's SCSI tools, file systems and multipath", { timeout: 480_000 }, async (t) => {
    if (!(await requireGuest(t))) return
    const scratch = new Scratch(t)
    const ports = [await freePort(), await freePort()]
    const disk = (name: string, size: string, more: object = {}): object => ({
      file: scratch.path(name),
      size,
      ...more,
    })
    writeFileSync(scratch.path('read-only'), Buffer.alloc(MIB, 'read only'))
    const configuration = (luns: object): Configuration => ({
      portals: ports.map((port, i) => ({ listen: `127.0.0.1:${port}`, group: i + 1 })),
      targets: {
        [TARGET]: {
          paths: { 2: 'non-optimized' },
          luns: {
            [Lun.thin]: disk('thin', '64M'),
            [Lun.large]: disk('large', '16M', { blockSize: 4096 }),
            [Lun.files]: disk('files', `${FILES_MIB}M`),
            [Lun.readOnly]: { file: scratch.path('read-only'), readOnly: true },
            [Lun.stick]: disk('stick', '16M', { removable: true }),
            [Lun.vault]: disk('vault', '16M', { encrypted: true }),
            ...luns,
          },
        },
      },
    })
    await using server = await startConfigured(scratch, configuration({}))
    // What the guest knows this machine's loopback address as.
    const portals = ports.map((port) => `10.0.2.2:${port}`)
    const shell = await GuestShell.boot(scratch)
    shell.preamble = PREAMBLE
    await shell.ok(`iscsiadm -m node -T ${TARGET} -p ${portals[0]} -o new
      iscsiadm -m node -T ${TARGET} -p ${portals[0]} --login
      for try in $(seq 100); do [ "$(ls /sys/block | grep -c ^sd)" = 6 ] && break; sleep 0.1; done; sleep 1`)

    for (const { name, script, says } of tools) {
      // oxlint-disable-next-line no-await-in-loop -- one disk, one tool after the other
      await t.test(name, async () => assertSays(await shell.ok(script), says))
    }
    await judgeFileSystem(t, shell, server.subject, scratch.path('files'))
    await t.test('a LUN that is added while Linux is logged in, and removed again', async () => {
      const heard = `dd if=$(d ${Lun.thin}) of=/dev/null iflag=direct count=1 status=none; dmesg -c | grep 'LUN assignments'
        iscsiadm -m session -R >/dev/null; sleep 1`
      await server.reconfigure(configuration({ 9: { memory: '8M' } }))
      const added = await shell.ok(`${heard}; blockdev --getsize64 $(d 9)
        echo 1 >/sys/block/$(basename $(d 9))/device/delete`)
      assertSays(added, [/LUN assignments on this target have changed/, /^8388608$/m])
      await server.reconfigure(configuration({}))
      const removed = await shell.ok(
        `${heard}; echo $(ls /sys/block | grep -c ^sd) disks; iscsiadm -m session`,
      )
      assertSays(removed, [/LUN assignments on this target have changed/, /^6 disks$/m, /tcp: \[1\]/])
    })
    await judgeMultipath(t, shell, portals)
    await t.test('the guest and the target are well', async () => {
      assert.equal(server.subject.isRunning, true, server.subject.stderr.slice(-4000))
      assert.equal(await shell.end(), 0, shell.guest.console().slice(-4000))
      t.diagnostic(/guest: exit code.*/.exec(shell.guest.console())?.[0] ?? '')
    })
  })
}
