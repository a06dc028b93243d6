#!/usr/bin/env bash
# Debian packages that some tests want, where they are missing: a PostgreSQL server for searches of
# several machines, Chromium for the search's page. Without them those tests are skipped.
set -euo pipefail
packages=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
command -v chromium >/dev/null || packages+=(chromium)
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed (needs root on Debian): apt-get install ${packages[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || echo "apt-get update failed; trying with the lists that are there" >&2
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
  echo "could not install ${packages[*]}: their tests will be skipped" >&2
