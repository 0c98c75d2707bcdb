#!/bin/sh
# Takes away what install.sh put here. Data and settings stay, unless --purge is given.
set -eu

usage() {
  echo "usage: $0 gateway|central [--purge [--delete-waiting]]

--purge           also deletes data and settings. Of a gateway whose queue is not empty, and of central, it asks first; where there
                  is nobody to ask, the data stay
--delete-waiting  deletes them without asking: what has not reached central is lost"
}
fail() {
  echo "uninstall.sh: $1" >&2
  exit 1
}

role= purge=no delete=ask
for argument; do
  case "$argument" in
  -h | --help) usage && exit 0 ;;
  gateway | central) role=$argument ;;
  --purge) purge=yes ;;
  --delete-waiting) delete=yes ;;
  *) usage >&2 && exit 2 ;;
  esac
done
[ -n "$role" ] || { usage >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "run it as root: sudo $0 $*"
root=/opt/plantgate/$role
data=/var/lib/plantgate/$role
note=/var/lib/plantgate/$role.waiting
# what "plantgate upgrade" left of central's ledger
before=/var/lib/plantgate/central-before-upgrades
[ "$role" = central ] || before=
[ "$role" = gateway ] && other=central || other=gateway
if dpkg-query --show --showformat='${db:Status-Status}' "plantgate-$role" 2>/dev/null | grep -q '^\(installed\|unpacked\|half-\)'; then
  fail "plantgate-$role is a Debian package here: apt-get remove plantgate-$role, or purge"
fi
[ -e "$root/installed-by-archive" ] || [ "$purge" = yes ] || fail "no $role is installed from an archive here"

# A disk that is mounted there stays mounted, and is emptied.
empty() {
  [ -n "$1" ] && [ -d "$1" ] || return 0
  find "$1" -xdev -mindepth 1 -delete || echo "uninstall.sh: not all of $1 could be deleted" >&2
  rmdir "$1" 2>/dev/null || true
}
ctl() { [ ! -d /run/systemd/system ] || systemctl "$@" || true; }
now=
[ ! -d /run/systemd/system ] || now=--now
if [ -e "$root/installed-by-archive" ]; then
  [ "$role" = gateway ] && more=plantgate-gateway-upgrade.path || more=plantgate-central-backup.timer
  systemctl disable $now --quiet "$more" || true
  systemctl disable $now --quiet "plantgate-$role-upgrade.service" "plantgate-$role.service" || true
  # of an earlier removal: what waits now is not what waited then
  rm -f "$note"
  # asked while the program is here
  "$root/current/install/note-waiting" "$role" || true
  rm -f "/usr/local/lib/systemd/system/plantgate-$role".* "/usr/local/lib/systemd/system/plantgate-$role-"* \
    "/usr/local/lib/sysusers.d/plantgate-$role.conf" "/usr/local/lib/tmpfiles.d/plantgate-$role.conf"
  if [ "$(readlink /usr/local/bin/plantgate || true)" = "$root/current/bin/plantgate" ]; then
    rm -f /usr/local/bin/plantgate
    [ ! -e "/opt/plantgate/$other/installed-by-archive" ] || ln -s "/opt/plantgate/$other/current/bin/plantgate" /usr/local/bin/plantgate
  fi
  rm -rf "$root"
  rmdir /opt/plantgate 2>/dev/null || true
  ctl daemon-reload
  echo "plantgate: $role is taken away"
fi
[ "$purge" = yes ] || { echo "plantgate: its data stay in $data, its settings in /etc/plantgate"; exit 0; }

waiting=$(cat "$note" 2>/dev/null || echo unknown)
# with a count that is not known nothing goes unasked: settings may have named another folder
if [ "$role" = gateway ]; then
  [ "$waiting" != 0 ] || delete=yes
elif [ -z "$(find "$data" "$before" -mindepth 1 -print -quit 2>/dev/null)" ]; then
  delete=yes
fi
if [ "$delete" = ask ] && [ -t 0 ]; then
  if [ "$role" = gateway ]; then
    echo "Messages that have not reached central, or wait for a system of the plant: $waiting. Deleted, they are lost."
  else
    echo "$data holds the keys that all gateways trust and, unless a PostgreSQL database has it, the ledger of every message; $before, where it is there, copies of that ledger."
  fi
  printf 'Delete %s? [y/N] ' "$data${before:+ and $before}"
  read -r answer || answer=
  case "$answer" in y | Y | yes) delete=yes ;; esac
fi
if [ "$delete" = yes ]; then
  empty "$data"
  empty "$before"
  rm -f "$note"
  [ ! -d /var/lib/plantgate/central-backups ] || [ "$role" = gateway ] || echo "plantgate: backups are kept: /var/lib/plantgate/central-backups"
  rmdir /var/lib/plantgate 2>/dev/null || true
  rm -f "/etc/plantgate/$role.yaml"
  if [ "$role" = gateway ]; then rm -rf /etc/plantgate/secrets /etc/plantgate/secrets-not-usable; else rm -f /etc/plantgate/pgpass; fi
  if [ ! -e "/etc/plantgate/$other.yaml" ] && [ ! -e "/opt/plantgate/$other" ]; then rm -rf /etc/plantgate; fi
  echo "plantgate: data and settings are deleted"
else
  [ "$role" = gateway ] && kept="$data is kept (messages that wait: $waiting)" more=$note || kept="$data is kept" more=$before
  echo "plantgate: $kept, and the settings with it. To delete them: rm -rf $data $more /etc/plantgate/$role.yaml" >&2
fi
