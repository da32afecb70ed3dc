# In the guest: Linux's own initiator uses the disk of LAB_TARGET at LAB_PORTAL, while somebody on the way cuts, stalls and corrupts its
# connection: from /host/logged-in on, until /host/over here is answered by /host/healed. No error may reach fio or the file system.
set -ex
modprobe -a iscsi_tcp sd_mod crc32c_intel || modprobe -a iscsi_tcp sd_mod
iscsid
node="iscsiadm -m node -T $LAB_TARGET -p $LAB_PORTAL"

$node -o new >/dev/null
set_value() { $node -o update -n "$1" -v "$2"; }
set_value 'node.conn[0].iscsi.HeaderDigest' CRC32C
set_value 'node.conn[0].iscsi.DataDigest' CRC32C
set_value node.session.iscsi.DefaultTime2Wait 0
# A connection that says nothing for 3 s is given up; for 2 minutes the kernel keeps the commands and logs in again.
set_value 'node.conn[0].timeo.noop_out_interval' 1
set_value 'node.conn[0].timeo.noop_out_timeout' 2
set_value 'node.conn[0].timeo.login_timeout' 5
set_value node.session.timeo.replacement_timeout 120

$node --login
for try in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.1; done
[ -b /dev/sda ]
# A command may meet more faults than the five that the disk driver tries it again after.
for limit in /sys/class/scsi_disk/*/max_retries; do echo -1 >"$limit"; done
touch /host/logged-in

fio --name=verify --filename=/dev/sda --rw=randrw --rwmixread=30 --bs=4k-64k --size=24m --io_size=40m --offset=64m --direct=1 \
  --ioengine=libaio --iodepth=16 --verify=crc32c --do_verify=1 --verify_fatal=1 --group_reporting --output=/tmp/fio
grep -E 'READ|WRITE|err=' /tmp/fio
grep -q 'err= 0' /tmp/fio
echo fio >>/host/rounds

mkfs.ext4 -q -F /dev/sda 64M
mkdir -p /mnt
mount -o errors=remount-ro /dev/sda /mnt
dd if=/dev/urandom of=/tmp/file bs=1M count=12 status=none
for round in 1 2; do
  cp /tmp/file /mnt/file$round
  cp -r /etc /mnt/etc$round
  sync
  echo 3 >/proc/sys/vm/drop_caches
  cmp /tmp/file /mnt/file$round
  diff -r --no-dereference /etc /mnt/etc$round
done
umount /mnt
echo files >>/host/rounds

touch /host/over
for try in $(seq 600); do [ -e /host/healed ] && break; sleep 0.1; done
e2fsck -f -n /dev/sda
mount /dev/sda /mnt
cmp /tmp/file /mnt/file1
cmp /tmp/file /mnt/file2
umount /mnt
set +x
dmesg >/tmp/dmesg
echo "guest: $(grep -c 'detected conn error' /tmp/dmesg) connection errors"
if grep -E 'I/O error|EXT4-fs (error|warning)|offline' /tmp/dmesg; then exit 1; fi
$node --logout
[ -z "$(ls /sys/class/iscsi_session)" ]
