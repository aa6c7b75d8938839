#!/usr/bin/env bash
# Makes sure that what the tests need is on this machine. As root it installs what
# is missing from Debian's packages; otherwise it prints the one line that does, and
# fails. To need more, add a line to the table at the end.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
missing=()
wanted=()

# need PACKAGE TEST…: the package is missing unless the test succeeds.
need() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

# want PACKAGE TEST…: likewise, but whoever cannot install it tests without: what
# needs it is left out then, and counted as skipped.
want() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || wanted+=("$package")
}

have_postgres() {
  command -v initdb && command -v postgres && return
  compgen -G '/usr/lib/postgresql/*/bin/initdb' && return
  compgen -G '/usr/pgsql-*/bin/initdb' && return
  compgen -G '/usr/local/pgsql/bin/initdb' && return
  compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' && return
  compgen -G '/usr/local/opt/postgresql@*/bin/initdb'
}

have_exim() { command -v exim4 || command -v exim || test -x /usr/sbin/exim4; }

have_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

have_vendors() { (cd "$here/test/vendors" && node -e "require('svix'); require('twilio'); require('smtp-server')"); }

have_sdk() { (cd "$here/sdk" && node node_modules/typescript/bin/tsc --version); }

have_browser() { (cd "$here/test/browser" && node -e "require('playwright-core'); require('axe-core')"); }

# packages FOLDER TEST installs a folder's packages from npm, as whoever calls: they go below
# that folder alone. Without them their tests are left out and counted as skipped.
packages() {
  "$2" >/dev/null 2>&1 && return
  if ! command -v npm >/dev/null; then
    return # said above: npm is wanted
  fi
  echo "setup: installing the packages of $1" >&2
  npm ci --prefix "$here/$1" --ignore-scripts --prefer-offline --no-audit --no-fund >/dev/null 2>&1 </dev/null ||
    echo "setup: tests that need them are SKIPPED; to run them too: npm ci --prefix $1" >&2
}

all_packages() {
  packages test/vendors have_vendors # what signatures are held against
  packages sdk have_sdk              # the compiler of the TypeScript client
  packages test/browser have_browser # what drives a browser, and judges pages
}

have_promtool() { type -P promtool || test -x "$here/.tools/promtool"; }

# prometheus fetches Prometheus' checker of rules out of Debian's package, which is not installed: it would start a server.
# Without it the test that needs it is left out and counted as skipped.
prometheus() {
  have_promtool >/dev/null 2>&1 && return
  local dir
  dir=$(mktemp -d)
  if (cd "$dir" && apt-get download prometheus && dpkg-deb -x prometheus_*.deb . && mkdir -p "$here/.tools" && install usr/bin/promtool "$here/.tools/promtool") >/dev/null 2>&1 </dev/null; then
    echo "setup: took promtool out of Debian's package prometheus" >&2
  else
    echo "setup: promtool is missing, and its test is SKIPPED; put Prometheus' promtool into your PATH to run it, too" >&2
  fi
  rm -rf "$dir"
}

have_compiler() { command -v "${CC:-gcc}" || command -v cc; }

#    Debian package        how to see that it is there       what for
need postgresql            have_postgres                   # the PostgreSQL half of the tests
want exim4-daemon-light    have_exim                       # a mail server that we did not write
want chromium              have_chromium                   # the browser that looks at every page
want nodejs                command -v node                 # what drives it, the vendors' packages below, the TypeScript client
want npm                   command -v npm                  # likewise
want python3                command -v python3              # the documentation's samples, and the Python client
want php-cli                command -v php                  # likewise, and the PHP client
want curl                   command -v curl                 # likewise
want jq                     command -v jq                   # the documentation's samples
want openssh-client         command -v ssh-keygen           # likewise
want iproute2              command -v ip                   # a network of its own, where bad addresses are tried
need gcc                   have_compiler                   # the race detector
need libc6-dev             test -e /usr/include/stdlib.h   # likewise

if [ "$(uname -s)" = Darwin ]; then # its compiler brings the headers along
  kept=()
  for package in ${missing[@]+"${missing[@]}"}; do
    [ "$package" = libc6-dev ] || kept+=("$package")
  done
  missing=(${kept[@]+"${kept[@]}"})
fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  missing+=(${wanted[@]+"${wanted[@]}"})
elif [ ${#wanted[@]} -gt 0 ]; then
  echo "setup: tests that need it are SKIPPED; to run them too: sudo apt-get install ${wanted[*]}" >&2
fi
if [ ${#missing[@]} -eq 0 ]; then
  all_packages
  prometheus
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: the tests need more than this machine has; run: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi

echo "setup: installing ${missing[*]}" >&2
# The tests start servers of their own, so the package need not start one.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
  tail -n 30 "$log" >&2
  echo "setup: apt-get could not install ${missing[*]}" >&2
  exit 1
fi
all_packages
prometheus
