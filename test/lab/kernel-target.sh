# In the guest: Linux's own target (LIO) listens on port LAB_PORT until /host/stop appears; /host/ready is made when it does. Targets
# LAB_TARGET:open, :chap (user LAB_USER, secret LAB_SECRET) and :mutual (with LAB_TARGET_USER and LAB_TARGET_SECRET as well). Each has the same
# disks in memory: LUN 0 of 16 MiB, LUNs 1 and 2 of LAB_COPY_MIB, with blocks of 512 and 4096 bytes.
set -e
modprobe -a target_core_mod iscsi_target_mod sha3_generic crc32c_intel || modprobe -a target_core_mod iscsi_target_mod sha3_generic
# The host forwards its 127.0.0.1 to ours, so that the address that LIO advertises is good there. The kernel must take that from outside.
echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet

mount -t configfs configfs /sys/kernel/config
root=/sys/kernel/config/target
disks=$root/core/rd_mcp_0
mkdir -p $root/iscsi "$disks"

# make_disk LUN MIB BLOCK_BYTES
make_disk() {
  mkdir "$disks/disk$1"
  echo rd_pages=$(($2 * 256)) >"$disks/disk$1/control"
  echo 1 >"$disks/disk$1/enable"
  echo "$3" >"$disks/disk$1/attrib/block_size"
}
make_disk 0 16 512
make_disk 1 "$LAB_COPY_MIB" 512
make_disk 2 "$LAB_COPY_MIB" 4096

# set_up TARGET AUTHENTICATION
set_up() {
  group=$root/iscsi/$LAB_TARGET:$1/tpgt_1
  mkdir -p "$group/np/0.0.0.0:$LAB_PORT"
  for lun in 0 1 2; do
    mkdir -p "$group/lun/lun_$lun"
    ln -s "$disks/disk$lun" "$group/lun/lun_$lun/disk"
  done
  echo "$2" >"$group/attrib/authentication"
  echo 1 >"$group/attrib/generate_node_acls"
  echo 0 >"$group/attrib/demo_mode_write_protect"
  echo 1 >"$group/attrib/cache_dynamic_acls"
  for digest in HeaderDigest DataDigest; do echo CRC32C,None >"$group/param/$digest"; done
}
set_up open 0
echo 1 >"$group/enable"
set_up chap 1
echo -n "$LAB_USER" >"$group/auth/userid"
echo -n "$LAB_SECRET" >"$group/auth/password"
echo 1 >"$group/enable"
set_up mutual 1
echo -n "$LAB_USER" >"$group/auth/userid"
echo -n "$LAB_SECRET" >"$group/auth/password"
echo -n "$LAB_TARGET_USER" >"$group/auth/userid_mutual"
echo -n "$LAB_TARGET_SECRET" >"$group/auth/password_mutual"
echo 1 >"$group/enable"

echo "guest: LIO is up after $(cut -d' ' -f1 /proc/uptime) s"
touch /host/ready
for try in $(seq 600); do [ -e /host/stop ] && break; sleep 0.2; done
dmesg | tail -n 60
# Neither a session nor a trace of trouble is left.
cat $root/iscsi/"$LAB_TARGET":*/tpgt_1/dynamic_sessions | tee /tmp/sessions
[ -z "$(tr -d '\0\n' </tmp/sessions)" ]
if dmesg | grep -E 'BUG|Oops|Call Trace'; then exit 1; fi
