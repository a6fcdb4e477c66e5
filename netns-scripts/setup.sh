#!/bin/sh
# What `npm start` and `npm test` run first: packages of the system, packages of npm, then the build.
#
#   sh netns-scripts/setup.sh          what is needed to build and to run the lab
#   sh netns-scripts/setup.sh test     also what the tests look with (bird2, curl, ethtool, tcpdump, promtool), nftables for egress IPs, and the
#                                      programs that the benchmark's smoke run measures with, unpacked below dist/
#
# Each step is skipped when nothing is to be done, so that a second start costs a few seconds. What is missing is
# installed when we are root on a Debian or Ubuntu; otherwise one line says what to do.
set -eu
cd "$(dirname "$0")/.."

export DEBIAN_FRONTEND=noninteractive
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

log=$(mktemp)
# Debian asks this program whether a package may start its daemon: those that labs and tests need are started in namespaces, by us.
policy=/usr/sbin/policy-rc.d
daemons_may_start() { ! grep -qs '# hafl$' "$policy" || rm -f "$policy"; }
trap 'rm -f "$log"; daemons_may_start' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command silently; what it said is shown only when it fails: the first error is near the top or at the very end.
quietly() {
  "$@" >"$log" 2>&1 </dev/null && return 0
  if [ "$(wc -l <"$log")" -le 60 ]; then
    cat "$log" >&2
  else
    head -n 25 "$log" >&2
    echo "..." >&2
    tail -n 35 "$log" >&2
  fi
  return 1
}

apt_ready() { [ "$(id -u)" -eq 0 ] && have apt-get; }

# The lists are fetched once and only when something is missing; an old list is better than none.
apt_updated=no
apt_install() {
  if [ "$apt_updated" = no ]; then
    apt_updated=yes
    apt-get -qq -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 </dev/null || say "apt-get update failed, trying with the old lists"
  fi
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101 # hafl\n' >"$policy" && chmod 755 "$policy"; }
  apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@" >"$log" 2>&1 </dev/null
  apt_status=$?
  daemons_may_start
  return "$apt_status"
}

# --- Node -------------------------------------------------------------------------------------------------------------
have node || die "Node is missing: install Node 20.17 or later, with npm (https://nodejs.org)"
have npm || die "npm is missing: install it, it comes with Node (Debian: apt-get install npm)"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 17) ? 0 : 1)' ||
  die "Node $(node --version) is too old: install Node 20.17 or later (https://nodejs.org)"

# --- packages of the system: found by what they bring, so that machines without apt need nothing renamed ---------------
required=
have cc || have gcc || required="$required gcc"
have c++ || have g++ || required="$required g++"
have make || required="$required make"
have python3 || required="$required python3"
have ip || required="$required iproute2"
[ -e /usr/include/stdio.h ] || [ -n "$required" ] || required="$required libc6-dev"
if [ -n "$required" ]; then
  apt_ready || die "missing:$required. Run this as root: apt-get install -y$required"
  say "installing$required"
  # shellcheck disable=SC2086 # a list of words
  apt_install $required || { tail -n 20 "$log" >&2; die "apt-get could not install:$required"; }
fi

# Without these everything but one feature works, or one test is skipped. libpcap is loaded at run time, for drop rules.
optional=
have_libpcap() { [ -n "$(ls /usr/lib*/libpcap.so* /usr/lib/*/libpcap.so* /usr/local/lib/libpcap.so* 2>/dev/null)" ]; }
have_libpcap || optional="$optional libpcap0.8"
if [ "${1-}" = test ]; then
  have bird || have /usr/sbin/bird || optional="$optional bird2"
  have curl || optional="$optional curl"
  have etcd || optional="$optional etcd-server"
  have etcdctl || optional="$optional etcd-client"
  have ethtool || optional="$optional ethtool"
  have nft || optional="$optional nftables"
  have tcpdump || optional="$optional tcpdump"
fi

# --- packages of npm ----------------------------------------------------------------------------------------------------
# npm writes node_modules/.package-lock.json last: if it is there and newer than the lock file, the tree is complete.
install_npm=no
if [ ! -e node_modules/.package-lock.json ] || [ -n "$(find package-lock.json -newer node_modules/.package-lock.json)" ]; then
  install_npm=yes
  [ -e /usr/include/pcap.h ] || [ -e /usr/include/pcap/pcap.h ] || optional="$optional libpcap-dev"
fi
if [ -n "$optional" ]; then
  if apt_ready; then
    say "installing$optional"
    for package in $optional; do
      apt_install "$package" || say "optional package $package could not be installed, going on without it"
    done
  else
    say "optional, not installed:$optional"
  fi
fi

# Addons are compiled against the headers that came with Node, if they did; otherwise node-gyp downloads them.
prefix=$(node -p 'require("node:path").resolve(process.execPath, "../..")')
if [ -e "$prefix/include/node/common.gypi" ]; then
  export npm_config_nodedir="$prefix" npm_package_config_node_gyp_nodedir="$prefix"
fi

if [ "$install_npm" = yes ]; then
  say "npm ci"
  quietly npm ci --no-progress || die "npm ci failed (above)"
  node -e 'require("cap")' 2>/dev/null ||
    say "optional addon cap was not built, its features are off (it needs libpcap-dev; then remove node_modules and start again)"
fi

# Only root runs the tests that need them. What cannot be had is left out there, with a line.
if [ "${1-}" = test ] && apt_ready; then
  sh netns-scripts/bench-tools.sh dist/bench/tools || say "the benchmark's smoke run leaves out what is missing"
fi

if [ "${1-}" = test ]; then
  sh netns-scripts/promtool.sh dist/tools || say "metrics are not checked with promtool"
fi

# --- build ---------------------------------------------------------------------------------------------------------------
say "building"
quietly npm run --silent build || die "the build failed (above)"
