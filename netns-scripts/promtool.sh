#!/bin/sh
# Gets promtool, which tests check metrics with, from Debian's package prometheus: unpacked below DIR, not installed, since the
# package would start a server.
#
#   sh promtool.sh DIR
set -eu
[ $# -eq 1 ] || { echo "usage: promtool.sh DIR" >&2; exit 2; }
dir=$1
if command -v promtool >/dev/null || [ -x "$dir/usr/bin/promtool" ]; then exit 0; fi

say() { printf 'promtool: %s\n' "$*" >&2; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { say "only Debian's package is known: install promtool"; exit 1; }
mkdir -p "$dir/archive"
trap 'rm -rf "$dir/archive"' EXIT
say "fetching prometheus"
fetch() { (cd "$dir/archive" && apt-get -qq download prometheus >../apt.log 2>&1 </dev/null); }
# Old lists may name versions that are gone.
fetch || { apt-get -qq -o DPkg::Lock::Timeout=300 update >"$dir/apt.log" 2>&1 </dev/null && fetch; } || { tail -n 5 "$dir/apt.log" >&2; exit 1; }
dpkg-deb -x "$dir"/archive/prometheus_*.deb "$dir/archive/tree"
mkdir -p "$dir/usr/bin"
mv "$dir/archive/tree/usr/bin/promtool" "$dir/usr/bin/promtool"
