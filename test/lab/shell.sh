# In the guest: runs what the machine outside asks for (see ../support/guest-shell.ts). /host/N is the script of request N = 1, 2, …; what it
# says goes to /host/N.out, and then its exit code to /host/N.code. /host/end ends it all.
modprobe -a iscsi_tcp sd_mod sg scsi_dh_alua dm_multipath dm_service_time
iscsid
ln -s /proc/self/fd /dev/fd
# A pipe that stays empty, to wait at without a process.
mkfifo /tmp/never
exec 3<>/tmp/never
touch /host/ready
for ((n = 1; ; n++)); do
  until [ -e "/host/$n" ]; do
    [ -e /host/end ] && break 2
    read -r -t 0.03 -u 3
  done
  bash -e -o pipefail "/host/$n" >"/host/$n.out" 2>&1 3<&- </dev/null
  echo $? >"/host/$n.rc"
  mv "/host/$n.rc" "/host/$n.code"
done
# What the kernel thought of it.
if dmesg | grep -E 'BUG|Oops|Call Trace'; then exit 1; fi
exit 0
