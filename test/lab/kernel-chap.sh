# In the guest: Linux's own initiator logs in at LAB_PORTAL with CHAP. Of the targets LAB_TARGET:md5, :sha1, :sha256 and :sha3-256,
# each accepts the algorithm of its name alone. /host/rounds gets a line for each login that went as it should.
set -ex
modprobe -a iscsi_tcp sd_mod
iscsid
portal=$LAB_PORTAL
discovery="iscsiadm -m discoverydb -t sendtargets -p $portal"

refused() {
  if "$@"; then exit 1; fi
}

discovery_auth() {
  $discovery -o new >/dev/null
  $discovery -o update -n discovery.sendtargets.auth.authmethod -v CHAP
  $discovery -o update -n discovery.sendtargets.auth.username -v finder
  $discovery -o update -n discovery.sendtargets.auth.password -v "$1"
}
discovery_auth not-the-discovery-secret
refused $discovery --discover
discovery_auth discovery-secret
$discovery --discover | tee /tmp/discovered
[ "$(wc -l </tmp/discovered)" = 4 ]
echo discovery >>/host/rounds

# What is to be proven in one session: ROUND TARGET ALGORITHM, with secrets of both directions; an empty one: not asked for.
set_up() {
  node="iscsiadm -m node -T $LAB_TARGET:$1 -p $portal"
  set_value() { $node -o update -n "node.session.$1" -v "$2"; }
  set_value auth.authmethod CHAP
  set_value auth.chap_algs "$2"
  set_value auth.username host1
  set_value auth.password "$3"
  set_value auth.username_in "${4:+cygnet}"
  set_value auth.password_in "$4"
  set_value initial_login_retry_max 1
}

for algorithm in SHA3-256 SHA256 SHA1 MD5; do
  target=$(echo $algorithm | tr A-Z a-z)
  set_up "$target" $algorithm one-host-secret ''
  $node --login
  for try in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.1; done
  dd if=/dev/sda of=/tmp/first bs=4k count=1 iflag=direct status=none
  $node --logout
  echo "$algorithm one-way" >>/host/rounds

  set_up "$target" $algorithm one-host-secret the-target-secret
  $node --login
  $node --logout
  echo "$algorithm mutual" >>/host/rounds

  set_up "$target" $algorithm not-the-secret ''
  refused $node --login
  echo "$algorithm wrong secret" >>/host/rounds

  set_up "$target" $algorithm one-host-secret not-the-target-secret
  refused $node --login
  echo "$algorithm wrong target secret" >>/host/rounds
done

# All at once: the target chooses.
set_up sha1 SHA3-256,SHA256,SHA1,MD5 one-host-secret the-target-secret
$node --login
$node --logout
echo 'all offered' >>/host/rounds

set_up sha3-256 SHA1,MD5 one-host-secret ''
refused $node --login
echo 'none in common' >>/host/rounds
[ -z "$(ls /sys/class/iscsi_session)" ]
