# In the guest: Linux with a CD (LUN 0) and a DVD (LUN 1) of LAB_TARGET at LAB_PORTAL. /host/cd.iso is the CD's image, whose beginning
# the DVD is too; /host/sums are those of their files.
set -ex
# What must not work.
fails() {
  if "$@"; then exit 1; fi
}
modprobe -a iscsi_tcp sr_mod sg isofs
iscsid
node="iscsiadm -m node -T $LAB_TARGET -p $LAB_PORTAL"
$node -o new
$node --login
for try in $(seq 100); do [ -b /dev/sr0 ] && [ -b /dev/sr1 ] && break; sleep 0.1; done
cat /proc/sys/dev/cdrom/info
for feature in 'close tray' 'open tray' 'lock tray' 'read multisession' 'read DVD'; do
  grep -q "Can $feature:.*1.*1" /proc/sys/dev/cdrom/info
done
grep -q 'Can write CD-R:.*0.*0' /proc/sys/dev/cdrom/info

# What the drive says.
sg_inq /dev/sr0 | tee /tmp/inq
grep -q 'RMB=1' /tmp/inq
grep -q 'Peripheral device type: cd/dvd' /tmp/inq
sg_inq -d /dev/sr0 | grep -q 'MMC-6'
sg_vpd -p di /dev/sr0
sg_readcap /dev/sr0
sg_get_config --brief --current /dev/sr0 | tee /tmp/cd-features
sg_get_config /dev/sr0 | tee /tmp/cd-config
sg_get_config /dev/sr1 | tee /tmp/dvd-config
grep -q 'CD-ROM.*<<<current profile>>>\|CD-ROM.*current' /tmp/cd-config
grep -q 'DVD-ROM.*current' /tmp/dvd-config
sg_opcodes /dev/sr0 | tee /tmp/opcodes
grep -qi 'Read TOC' /tmp/opcodes
sg_modes -a /dev/sr0
[ "$(cat /sys/block/sr0/queue/logical_block_size)" = 2048 ]
[ "$(cat /sys/block/sr0/removable)" = 1 ]
[ "$(cat /sys/block/sr0/size)" = $(($(stat -c %s /host/cd.iso) / 512)) ]

# What the kernel's CD-ROM layer makes of the table of contents: tracks 1 to 1, and the lead-out behind the last block.
perl -e '
  sysopen(my $cd, "/dev/sr0", 04000) or die $!;
  my $header = "\0" x 2;
  ioctl($cd, 0x5305, $header) or die "header: $!";
  join(",", unpack("CC", $header)) eq "1,1" or die "tracks";
  my $entry = pack("CCCxlC3", 0xaa, 0, 1, 0, 0, 0, 0);
  ioctl($cd, 0x5306, $entry) or die "entry: $!";
  my ($track, $bits, $format, $lba) = unpack("CCCxl", $entry);
  $lba * 2048 == -s "/host/cd.iso" or die "lead-out at $lba";
'
# Event status, polled; a block by READ CD; the physical format of the DVD.
sg_raw -r 8 /dev/sr0 4a 01 00 00 10 00 00 00 08 00
sg_raw -r 2048 -o /tmp/block /dev/sr0 be 00 00 00 00 10 00 00 01 10 00 00
dd if=/host/cd.iso bs=2048 skip=16 count=1 status=none | cmp - /tmp/block
sg_raw -r 24 /dev/sr1 ad 00 00 00 00 00 00 00 00 18 00 00
fails sg_raw -r 24 /dev/sr0 ad 00 00 00 00 00 00 00 00 18 00 00

# The data.
for drive in sr0 sr1; do
  blkid -p -o export /dev/$drive | tee /tmp/blkid
  grep -qx 'TYPE=iso9660' /tmp/blkid
  grep -qx "LABEL=$LAB_VOLUME" /tmp/blkid
  cmp -n "$(stat -c %s /host/cd.iso)" /dev/$drive /host/cd.iso
  mkdir -p /mnt/$drive
  mount -t iso9660 -o ro /dev/$drive /mnt/$drive
  (cd /mnt/$drive && sha256sum -c /host/sums)
done

# 0x5309 ejects, 0x5319 closes the tray, 0x5326 is the status: 2 the tray is open, 4 a disc is in.
cdrom() {
  perl -e 'sysopen(my $cd, $ARGV[0], 04000) or die $!; my $r = ioctl($cd, hex $ARGV[1], $ARGV[2] // 0); defined $r or die "$!\n";
    print $r + 0, "\n"' "$@"
}
[ "$(cdrom /dev/sr0 5326 2147483647)" = 4 ]
# Mounted: the kernel has locked the door, and the drive says so to everybody.
[ "$(cdrom /dev/sr0 5309)" != 0 ]
fails sg_start --eject /dev/sr0
[ "$(cdrom /dev/sr0 5326 2147483647)" = 4 ]
umount /mnt/sr0
[ "$(cdrom /dev/sr0 5309)" = 0 ]
[ "$(cdrom /dev/sr0 5326 2147483647)" = 2 ]
fails sg_turs /dev/sr0
cdrom /dev/sr0 5319
[ "$(cdrom /dev/sr0 5326 2147483647)" = 4 ]
blkid -p /dev/sr0
cdrom /dev/sr0 5309
# The kernel closes the tray for who wants to mount.
mount -t iso9660 -o ro /dev/sr0 /mnt/sr0
(cd /mnt/sr0 && sha256sum -c /host/sums)
umount /mnt/sr0 /mnt/sr1
fails dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 status=none
$node --logout
[ -z "$(ls /sys/class/iscsi_session)" ]
