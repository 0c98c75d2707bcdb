#!/bin/sh
# Boots ROOT's own systemd as process 1 of new namespaces, in a control group of its own: boot.sh ROOT CGROUP. Runs in a mount namespace that ends with
# it; the network namespace is whoever calls it has chosen.
set -eu
root=$1 group=$2
if [ "${3:-}" != inside ]; then
  # wherever this machine has it mounted, or not at all
  mount -t cgroup2 none "$root/mnt"
  own=$(sed -n 's/^0:://p' /proc/self/cgroup)
  if mkdir -p "$root/mnt$own/$group" 2>/dev/null; then echo $$ >"$root/mnt$own/$group/cgroup.procs" || true; fi
  umount "$root/mnt"
  exec unshare --mount --propagation private --pid --uts --ipc --cgroup --fork --kill-child=KILL sh "$0" "$root" "$group" inside
fi
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys 2>/dev/null || mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=0755 tmpfs dev
for each in null zero full random urandom tty; do
  : >"dev/$each"
  mount --bind "/dev/$each" "dev/$each"
done
mkdir -p dev/pts dev/shm .old
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
pivot_root . .old
umount -l /.old
rmdir /.old
# systemd hands credentials to units through a mount that units see
mount --make-rshared /
hostname plant
# each boot is one of its own, also for those who ask the kernel
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
exec env -i container=plantgate PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=console </dev/null
