#!/bin/sh
# Runs a command where podman's containers, their networks and all that it notes are nobody else's: enter.sh FOLDER COMMAND… in new
# namespaces of mounts, network and processes, which end with it.
set -eu
folder=$1
shift
# podman's state of this machine is not ours
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock
# crun knows control groups of the first version or of the second, and not both side by side
[ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
ip link set lo up
cat >"$folder/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$folder/storage"
runroot = "/run/containers/storage"
END
# podman's own limits are higher than what root may set without CAP_SYS_RESOURCE
cat >"$folder/containers.conf" <<END
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "$folder/networks"
END
export CONTAINERS_CONF="$folder/containers.conf" CONTAINERS_STORAGE_CONF="$folder/storage.conf"
"$@"
