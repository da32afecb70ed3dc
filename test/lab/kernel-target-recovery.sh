# In the guest: Linux's own target (LIO) listens on port LAB_PORT until /host/stop appears; /host/ready is made when it does. Its one
# target LAB_TARGET has sessions of up to four connections and all levels of error recovery.
set -e
modprobe -a target_core_mod crc32c_generic crc32c_intel || modprobe -a target_core_mod crc32c_generic

# Linux since 6.1.31 frees a connection's counter of commands with the connection, and oopses when a command that was reassigned to
# another connection ends and leaves that counter. So the counter is kept instead: the one call that frees it becomes another call
# of the one that closes it, which does nothing the second time. The signature does not hold any more, so it must not be one.
module=$(modinfo -n iscsi_target_mod)
perl -0777 -pe 's/.*\Ktarget_free_cmd_counter/target_stop_cmd_counter/s; s/~Module signature \Kappended/was here/' \
  "$module" >/tmp/iscsi_target_mod.ko
if cmp -s "$module" /tmp/iscsi_target_mod.ko; then exit 1; fi
insmod /tmp/iscsi_target_mod.ko
echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet

mount -t configfs configfs /sys/kernel/config
root=/sys/kernel/config/target
disk=$root/core/rd_mcp_0/disk
mkdir -p $root/iscsi "$disk"
echo rd_pages=8192 >"$disk/control"
echo 1 >"$disk/enable"

group=$root/iscsi/$LAB_TARGET/tpgt_1
mkdir -p "$group/lun/lun_0" "$group/np/0.0.0.0:$LAB_PORT"
ln -s "$disk" "$group/lun/lun_0/disk"
echo 0 >"$group/attrib/authentication"
echo 1 >"$group/attrib/generate_node_acls"
echo 0 >"$group/attrib/demo_mode_write_protect"
echo 1 >"$group/attrib/cache_dynamic_acls"
# The level of sessions of initiators without an entry of their own.
echo 2 >"$group/attrib/default_erl"
echo 4 >"$group/param/MaxConnections"
echo 2 >"$group/param/ErrorRecoveryLevel"
echo 1 >"$group/param/DefaultTime2Wait"
echo 30 >"$group/param/DefaultTime2Retain"
for digest in HeaderDigest DataDigest; do echo CRC32C,None >"$group/param/$digest"; done
echo 1 >"$group/enable"

echo "guest: LIO is up after $(cut -d' ' -f1 /proc/uptime) s"
touch /host/ready
for try in $(seq "${LAB_LASTS_S:-240}"); do [ -e /host/stop ] && break; sleep 1; done
dmesg | tail -n 60
cat "$group/dynamic_sessions" | tee /tmp/sessions
[ -z "$(tr -d '\0\n' </tmp/sessions)" ]
if dmesg | grep -E 'BUG|Oops|Call Trace'; then exit 1; fi
