#!/bin/bash
# build-guest.sh FOLDER: makes what the interop tests' virtual machine boots, once: a Debian kernel with Linux's iSCSI initiator and
# target (LIO), a small initial RAM disk, and a root file system with open-iscsi, multipath-tools, e2fsprogs, xfsprogs, fio, ddpt and
# sg3-utils. Takes about a minute and the machine's own apt sources. Needs root and
#   apt-get install qemu-system-x86 mmdebstrap e2fsprogs cpio kmod
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
images=$(cd "$1" && pwd)

# Two test runs on one machine build it once.
exec 9>"$images/build.lock"
flock 9
[ -s "$images/vmlinuz" ] && [ -s "$images/initrd" ] && [ -s "$images/root.ext4" ] && exit 0

work=$(mktemp -d "$images/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

packages=open-iscsi,multipath-tools,sg3-utils,ddpt,e2fsprogs,xfsprogs,fio,kmod,iproute2,procps,util-linux,mount
disk_modules="virtio_pci virtio_blk ext4 crc32c_generic"
guest_modules="virtio_net virtio_rng 9pnet_virtio 9p iscsi_tcp sd_mod sg libcrc32c crc32c_intel scsi_dh_alua dm_multipath dm_service_time
  xfs sr_mod isofs target_core_mod iscsi_target_mod sha3_generic"

version=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { sub("linux-image-", "", $2); print $2; exit }')
apt-get download -q "linux-image-$version" busybox-static
for package in *.deb; do dpkg -x "$package" unpacked; done
depmod -b unpacked "$version"

shopt -s nullglob
sources=(/etc/apt/sources.list /etc/apt/sources.list.d/*.{sources,list})
existing=()
for file in "${sources[@]}"; do [ -e "$file" ] && existing+=("$file"); done
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$(. /etc/os-release && echo "$VERSION_CODENAME")" root.tar "${existing[@]}"
mkdir root
tar -C root --numeric-owner -xf root.tar

# The files of some modules and of all that they depend on, each once, in the order in which they load.
module_files() {
  local module
  for module in "$@"; do
    modprobe -d "$work/unpacked" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++'
}

modules=root/lib/modules/$version
mkdir -p "$modules"
cp unpacked/lib/modules/"$version"/modules.{order,builtin,builtin.modinfo} "$modules"
module_files $disk_modules $guest_modules | while read -r file; do
  target=$modules/${file#*/lib/modules/"$version"/}
  mkdir -p "$(dirname "$target")"
  cp "$file" "$target"
done
depmod -b root "$version"

install -m 755 "$here/guest-init" root/lab-init
echo 'InitiatorName=iqn.2026-11.dev.example:guest' >root/etc/iscsi/initiatorname.iscsi
megabytes=$(($(du -sm root | cut -f1) + 200))
mke2fs -q -t ext4 -O ^has_journal -E root_owner=0:0 -d root root.ext4 "${megabytes}M"

mkdir -p initrd.d/{bin,dev,root,modules}
cp unpacked/bin/busybox initrd.d/bin/
install -m 755 "$here/guest-initrd" initrd.d/init
module_files $disk_modules | while read -r file; do
  cp "$file" initrd.d/modules/
  basename "$file" >>initrd.d/modules/order
done
(cd initrd.d && find . | cpio --quiet -o -H newc) >initrd

mv "unpacked/boot/vmlinuz-$version" "$images/vmlinuz"
mv initrd root.ext4 "$images/"
ls -l "$images"
