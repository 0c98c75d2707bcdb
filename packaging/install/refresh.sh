#!/bin/sh
# refresh.sh ROLE: puts what belongs to this version beside its tree in place, as a Debian package does it itself: units, users,
# folders, settings where there are none. For machines that were installed from an archive.
set -eu
role=$1
here=$(dirname "$(readlink -f "$0")")
root=/opt/plantgate/$role

put() { # put MODE FILE PLACE: whole or not at all
  mkdir -p "$(dirname "$3")"
  install -m "$1" -o root -g root "$2" "$3.plantgate-new"
  # a power cut leaves the one or the other, whole
  sync "$3.plantgate-new"
  mv -T "$3.plantgate-new" "$3"
  sync "$(dirname "$3")"
}

put 0755 "$here/choose" "$root/choose"
for unit in "$here/units/plantgate-$role".* "$here/units/plantgate-$role"-*; do
  [ ! -e "$unit" ] || put 0644 "$unit" "/usr/local/lib/systemd/system/$(basename "$unit")"
done
put 0644 "$here/sysusers.d/plantgate-$role.conf" "/usr/local/lib/sysusers.d/plantgate-$role.conf"
put 0644 "$here/tmpfiles.d/plantgate-$role.conf" "/usr/local/lib/tmpfiles.d/plantgate-$role.conf"
# what somebody wrote there stays
[ -e "/etc/plantgate/$role.yaml" ] || put 0644 "$here/$role.yaml" "/etc/plantgate/$role.yaml"
if [ ! -e /usr/local/bin/plantgate ]; then
  mkdir -p /usr/local/bin
  ln -sfn "$root/current/bin/plantgate" /usr/local/bin/plantgate
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload
