#!/bin/sh
# Installs Plantgate from this archive: a gateway, or central. Nothing is downloaded. Needs root and systemd 247 or newer.
# Before this, check the archive: its signature or SHA256SUMS (docs/installing.md).
set -eu

usage() {
  echo "usage: $0 gateway|central

Puts this version into /opt/plantgate/ROLE/versions, its settings into /etc/plantgate, its units into /usr/local/lib/systemd/system.
Where an older version runs, this one is put on trial: it is watched, and goes back by itself if it is not well. The data and the
settings that are there are kept. To take it away: /opt/plantgate/ROLE/current/install/uninstall.sh ROLE"
}
fail() {
  echo "install.sh: $1" >&2
  exit 1
}

case "${1-}" in
-h | --help) usage && exit 0 ;;
gateway | central) [ $# = 1 ] || { usage >&2; exit 2; } ;;
*) usage >&2 && exit 2 ;;
esac
role=$1
here=$(dirname "$(readlink -f "$0")")
root=/opt/plantgate/$role
of_manifest() { sed -n "s/^ *\"$1\": *\"\([^\"]*\)\".*/\1/p" "$here/manifest.json"; }
version=$(of_manifest version)
platform=$(of_manifest platform)
case "$version" in '' | *[!0-9A-Za-z.+~-]*) fail "$here/manifest.json is damaged: unpack the archive again" ;; esac

[ "$(id -u)" = 0 ] || fail "run it as root: sudo $0 $role"
case "$platform-$(uname -m)" in
linux-x64-x86_64 | linux-arm64-aarch64) ;;
*) fail "this archive is for $platform, this machine is $(uname -s) $(uname -m): take the archive for it" ;;
esac
for program in systemctl systemd-sysusers systemd-tmpfiles systemd-notify; do
  command -v $program >/dev/null || fail "$program is missing: Plantgate's services need systemd 247 or newer"
done
package_is() { dpkg-query --show --showformat='${db:Status-Status}' "plantgate-$role" 2>/dev/null | grep -q "^\($1\)"; }
if package_is 'installed\|unpacked\|half-'; then
  fail "plantgate-$role is installed as a Debian package here: go on with that (plantgate upgrade FILE.deb)"
fi
"$here/bin/plantgate" --version >/dev/null 2>&1 || fail "the program in this archive does not run here; what it says: $("$here/bin/plantgate" --version 2>&1 | head -n 3)"

running=$(basename "$(readlink "$root/current" 2>/dev/null || true)")
if [ -n "$running" ] && [ "$running" != "$version" ]; then
  newest=$(printf '%s\n%s\n' "$(echo "$running" | tr - '~')" "$(echo "$version" | tr - '~')" | sort -V | tail -n 1)
  [ "$newest" = "$(echo "$version" | tr - '~')" ] || fail "$running runs here and is newer than $version. If that is meant: plantgate upgrade --allow-older plantgate-$version-$platform.tar.gz"
fi

# dpkg deletes the settings of a package that was removed when that is purged, whoever uses them by then. So that nothing that somebody
# wrote there is lost, now or later, it forgets the package, and the settings are the archive's.
settings=/etc/plantgate/$role.yaml aside=/etc/plantgate/.$role.yaml.aside
take_over_settings() {
  if package_is config-files; then
    [ ! -e "$settings" ] || cp -pL "$settings" "$aside"
    if said=$(DEBIAN_FRONTEND=noninteractive dpkg --purge "plantgate-$role" 2>&1); then
      echo "plantgate: dpkg forgets plantgate-$role, which was removed; $settings stays as it is"
    else
      printf '%s\n' "$said" "plantgate: dpkg still has plantgate-$role as removed: keep a copy of $settings before you purge that" >&2
    fi
  fi
  # also of a try that was cut off
  [ ! -e "$aside" ] || mv -T "$aside" "$settings"
}

umask 022
mkdir -p "$root/versions"
if [ ! -d "$root/versions/$version" ]; then
  echo "plantgate: $role $version goes to $root/versions/$version"
  part="$root/versions/.$version.part"
  rm -rf "$part"
  mkdir "$part"
  # a file that cannot be read, or a full disk, ends it here
  cp -RP --preserve=mode,timestamps,links "$here/." "$part" || { rm -rf "$part"; fail "nothing was changed"; }
  rm -f "$part/install.sh"
  chown -R root:root "$part"
  sync
  mv -T "$part" "$root/versions/$version"
elif ! cmp -s "$here/manifest.json" "$root/versions/$version/manifest.json"; then
  fail "$root/versions/$version is there already and was built from something else. A version is never changed: install one with a number of its own"
fi
: >"$root/installed-by-archive"
install=$root/versions/$version/install
if [ -z "$running" ] || [ "$running" = "$version" ]; then
  "$install/refresh.sh" "$role"
  "$install/setup" "$role" "$version"
else
  # the version before may be taken back: its units stay until this one is kept
  "$install/setup" "$role" "$version"
  [ -e "$root/trial.json" ] || [ "$(readlink "$root/current")" != "versions/$version" ] || "$install/refresh.sh" "$role"
fi
take_over_settings
case ":$PATH:" in
*:/usr/local/bin:*) ;;
*) echo "plantgate: the command is /usr/local/bin/plantgate, which is not on your path" ;;
esac
