# In the guest: Linux's own initiator against LAB_TARGET at LAB_PORTAL. A first short session (login with both digests, a write, a
# read, logout) is over when /host/first-session-over appears, and the test goes on when the host has made /host/go-on.
# LAB_DISCOVER=no makes the node record by hand, for a target that advertises an address of its own.
set -ex
modprobe -a iscsi_tcp sd_mod sg crc32c_intel || modprobe -a iscsi_tcp sd_mod sg
iscsid
portal=$LAB_PORTAL
node="iscsiadm -m node -T $LAB_TARGET -p $portal"

if [ "$LAB_DISCOVER" = no ]; then
  $node -o new
else
  iscsiadm -m discovery -t sendtargets -p "$portal" | tee /tmp/discovered
  grep -qxF "$portal,1 $LAB_TARGET" /tmp/discovered
fi
$node -o update -n 'node.conn[0].iscsi.HeaderDigest' -v CRC32C
$node -o update -n 'node.conn[0].iscsi.DataDigest' -v CRC32C

# Logs in and waits for the disk: the only sd in this machine.
log_in() {
  $node --login
  for try in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.1; done
  [ -b /dev/sda ]
}

log_in
iscsiadm -m session -P 2 | tee /tmp/session
grep -q 'HeaderDigest: CRC32C' /tmp/session
grep -q 'DataDigest: CRC32C' /tmp/session
dd if=/dev/urandom of=/tmp/pattern bs=64k count=16 status=none
dd if=/tmp/pattern of=/dev/sda bs=64k oflag=direct status=none
dd if=/dev/sda of=/tmp/copy bs=64k count=16 iflag=direct status=none
cmp /tmp/pattern /tmp/copy
$node --logout
touch /host/first-session-over
for try in $(seq 600); do [ -e /host/go-on ] && break; sleep 0.1; done

log_in
sg_inq /dev/sda
sg_readcap -l /dev/sda
sg_vpd -p bl /dev/sda
sg_vpd -p lbpv /dev/sda
[ "$(cat /sys/block/sda/queue/logical_block_size)" = 512 ]
[ "$(cat /sys/block/sda/device/scsi_disk/*/thin_provisioning)" = 1 ]

mkfs.ext4 -q -F /dev/sda
mkdir -p /mnt
mount /dev/sda /mnt
dd if=/dev/urandom of=/mnt/file bs=1M count=16 status=none
cp -r /etc /mnt/etc
sha256sum /mnt/file >/tmp/sum
sync
umount /mnt
e2fsck -f -n /dev/sda
mount /dev/sda /mnt
sha256sum -c /tmp/sum
diff -r --no-dereference /etc /mnt/etc
umount /mnt

# One way only: the file system is not needed any more.
fio --name=verify --filename=/dev/sda --rw=randwrite --bs=4k-64k --size=24m --io_size=24m --direct=1 --ioengine=libaio \
  --iodepth=16 --verify=crc32c --do_verify=1 --verify_fatal=1 --group_reporting --output=/tmp/fio
grep -E 'READ|WRITE|err=' /tmp/fio
grep -q 'err= 0' /tmp/fio

blkdiscard -f /dev/sda
cmp -n 25165824 /dev/sda /dev/zero
$node --logout
[ -z "$(ls /sys/class/iscsi_session)" ]
