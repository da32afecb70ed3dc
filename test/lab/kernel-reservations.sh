# In the guest: LAB_TARGET through two portal groups, at LAB_PORTAL1 (optimized) and LAB_PORTAL2 (non-optimized). Linux's multipath asks
# which path is the better one; sg_persist reserves the disk through each.
set -ex
modprobe -a iscsi_tcp sd_mod sg scsi_dh_alua dm_multipath dm_service_time
iscsid
# multipathd knows of disks what udev knows.
/lib/systemd/systemd-udevd --daemon
udevadm trigger
udevadm settle

# log_in PORTAL DISK: waits for the disk, the next sd of this machine.
log_in() {
  iscsiadm -m node -T "$LAB_TARGET" -p "$1" -o new
  iscsiadm -m node -T "$LAB_TARGET" -p "$1" --login
  { for try in $(seq 100); do [ -b "$2" ] && break; sleep 0.1; done; } 2>/dev/null
  [ -b "$2" ]
}
log_in "$LAB_PORTAL1" /dev/sda
log_in "$LAB_PORTAL2" /dev/sdb

# Two paths to one disk, each with its port and group.
[ "$(sg_vpd -p 0x83 -q --raw /dev/sda | head -c 20 | sha256sum)" = "$(sg_vpd -p 0x83 -q --raw /dev/sdb | head -c 20 | sha256sum)" ]
sg_vpd -p di /dev/sda | tee /tmp/ports
grep -q 'Relative target port: 0x1' /tmp/ports
grep -q 'Target port group: 0x1' /tmp/ports
sg_vpd -p di /dev/sdb | grep -q 'Target port group: 0x2'
sg_rtpg -d -e /dev/sda | tee /tmp/groups
grep -q 'target port group id : 0x2' /tmp/groups
grep -q 'active/non optimized' /tmp/groups
[ "$(cat /sys/block/sda/device/dh_state)" = alua ]
[ "$(cat /sys/block/sda/device/access_state)" = active/optimized ]
[ "$(cat /sys/block/sdb/device/access_state)" = active/non-optimized ]

mkdir -p /etc/multipath
cat >/etc/multipath.conf <<'CONF'
defaults {
  find_multipaths no
  user_friendly_names yes
  reservation_key 0x123abc
  path_grouping_policy group_by_prio
  prio alua
}
CONF
multipathd
{ for try in $(seq 100); do [ -b /dev/mapper/mpatha ] && break; sleep 0.2; done; } 2>/dev/null
multipath -ll | tee /tmp/map
grep -q 'prio=50' /tmp/map
grep -q 'prio=10' /tmp/map
dd if=/dev/urandom of=/tmp/pattern bs=64k count=4 status=none
dd if=/tmp/pattern of=/dev/mapper/mpatha bs=64k oflag=direct status=none
dd if=/dev/mapper/mpatha of=/tmp/copy bs=64k count=4 iflag=direct status=none
cmp /tmp/pattern /tmp/copy

# The better path is taken away, and the other one takes over. The tools that ask meet the unit attentions.
sg_stpg --tp=1 --state=2 /dev/sdb || sg_stpg --tp=1 --state=2 /dev/sdb
sg_rtpg -d /dev/sdb | grep -q standby
dd if=/dev/mapper/mpatha of=/tmp/copy bs=64k count=4 iflag=direct status=none
cmp /tmp/pattern /tmp/copy
sg_turs /dev/sda && exit 1
sg_stpg --tp=1 --state=0 /dev/sdb

# A cluster's reservation, registered on both paths at once.
mpathpersist --out --register --param-sark=123abc /dev/mapper/mpatha
mpathpersist --in -k /dev/mapper/mpatha | tee /tmp/keys
grep -q '2 registered reservation' /tmp/keys
mpathpersist --out --reserve --param-rk=123abc --prout-type=5 /dev/mapper/mpatha
mpathpersist --in -r /dev/mapper/mpatha | grep -q 'Write Exclusive, registrants only'
dd if=/tmp/pattern of=/dev/mapper/mpatha bs=64k oflag=direct status=none
mpathpersist --out --release --param-rk=123abc --prout-type=5 /dev/mapper/mpatha
mpathpersist --out --register --param-rk=123abc --param-sark=0 /dev/mapper/mpatha
multipath -f mpatha
multipathd shutdown

# Path by path: sg_persist, which takes each path for a host of its own.
persist() { sg_persist --no-inquiry "$@"; }
persist -i -c /dev/sda | tee /tmp/capabilities
for line in 'Compatible Reservation Handling(CRH): 1' 'Specify Initiator Ports Capable(SIP_C): 1' \
  'All Target Ports Capable(ATP_C): 1' 'Persist Through Power Loss Capable(PTPL_C): 1'; do
  grep -qF "$line" /tmp/capabilities
done
persist -o -G -S 1 --param-aptpl /dev/sda
persist -o -G -S 2 --param-aptpl /dev/sdb
persist -i -k /dev/sda | tee /tmp/keys
grep -q 0x1 /tmp/keys
grep -q 0x2 /tmp/keys
persist -o -R -K 1 -T 3 /dev/sda
persist -i -r /dev/sdb | grep -q 'Exclusive Access'
persist -i -s /dev/sda | tee /tmp/status
grep -qi 'iqn.2026-11.dev.example:guest,i,0x' /tmp/status
dd if=/tmp/pattern of=/dev/sda bs=64k oflag=direct status=none
dd if=/dev/sdb of=/dev/null bs=64k count=1 iflag=direct status=none && exit 1
persist -o -A -K 2 -S 1 -T 1 /dev/sdb
persist -i -r /dev/sdb | grep -q 'Write Exclusive'
sg_turs /dev/sda || sg_turs /dev/sda || sg_turs /dev/sda
dd if=/dev/sda of=/dev/null bs=64k count=1 iflag=direct status=none
dd if=/tmp/pattern of=/dev/sda bs=64k oflag=direct status=none && exit 1
persist -o -C -K 2 /dev/sdb
persist -i -k /dev/sdb | grep -qi 'no registered'

iscsiadm -m node -T "$LAB_TARGET" --logout
