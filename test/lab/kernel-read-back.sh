# In the guest: Linux's own initiator looks at the file system on LUN 0 of LAB_TARGET at LAB_PORTAL, and writes nothing. What it finds
# goes to /host/e2fsck and /host/sums (see `contentSums` in ../interop/file-system.test.ts).
set -ex
modprobe -a iscsi_tcp sd_mod
iscsid
node="iscsiadm -m node -T $LAB_TARGET -p $LAB_PORTAL"
$node -o new
$node --login
for try in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.1; done
blockdev --setro /dev/sda
e2fsck -f -n /dev/sda >/host/e2fsck
mkdir -p /mnt
mount -t ext4 -o ro /dev/sda /mnt
(cd /mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum) >/host/sums
umount /mnt
$node --logout
[ -z "$(ls /sys/class/iscsi_session)" ]
