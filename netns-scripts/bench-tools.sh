#!/bin/sh
# Gets what `hafl bench lab` measures with and against: iperf3, wrk, nginx and HAProxy as Debian packages them, cap and raw-socket
# from npm. Nothing is installed in the system and no service is started: packages are fetched and unpacked below DIR. What the
# system has already is used as it is.
#
#   sh bench-tools.sh DIR
#
# Each step is skipped when nothing is to be done. Fails when a program is still missing in the end, and says which.
set -eu
[ $# -eq 1 ] || { echo "usage: bench-tools.sh DIR" >&2; exit 2; }
dir=$1
mkdir -p "$dir"
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'bench-tools: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "$dir/usr/bin/$1" ] || [ -x "$dir/usr/sbin/$1" ]; }
have_stream() { [ -n "$(ls "$dir"/usr/lib/nginx/modules/ngx_stream_module.so /usr/lib/nginx/modules/ngx_stream_module.so 2>/dev/null)" ]; }

packages=
have iperf3 || packages="$packages iperf3"
have wrk || packages="$packages wrk"
have haproxy || packages="$packages haproxy"
have nginx || packages="$packages nginx-light"
have_stream || packages="$packages libnginx-mod-stream"

if [ -n "$packages" ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  say "fetching$packages"
  mkdir -p "$dir/archives/partial"
  fetch() {
    # shellcheck disable=SC2086 # a list of words
    apt-get -qq -y -d --no-install-recommends -o DPkg::Lock::Timeout=300 -o "Dir::Cache::Archives=$(realpath "$dir/archives")" \
      install $packages >"$dir/apt.log" 2>&1 </dev/null
  }
  # Old lists may name versions that are gone; new ones take a few seconds.
  fetch || { apt-get -qq -o DPkg::Lock::Timeout=300 update >"$dir/apt.log" 2>&1 </dev/null && fetch; } || tail -n 5 "$dir/apt.log" >&2
  for package in "$dir"/archives/*.deb; do
    [ ! -e "$package" ] || dpkg-deb -x "$package" "$dir"
  done
  rm -rf "$dir/archives"
fi

if [ ! -e "$dir/by-hand/node_modules/raw-socket/build/Release/raw.node" ] || [ ! -e "$dir/by-hand/node_modules/cap/build/Release/cap.node" ]; then
  say "fetching cap and raw-socket"
  mkdir -p "$dir/by-hand"
  prefix=$(node -p 'require("node:path").resolve(process.execPath, "../..")')
  if [ -e "$prefix/include/node/common.gypi" ]; then
    export npm_config_nodedir="$prefix" npm_package_config_node_gyp_nodedir="$prefix"
  fi
  printf '{ "private": true, "allowScripts": { "cap": true, "raw-socket": true } }\n' >"$dir/by-hand/package.json"
  (cd "$dir/by-hand" && npm install --no-audit --no-fund --no-progress cap@0.2.1 raw-socket@1.8.1) >"$dir/npm.log" 2>&1 </dev/null ||
    tail -n 5 "$dir/npm.log" >&2
fi

missing=
for program in iperf3 wrk haproxy nginx; do have "$program" || missing="$missing $program"; done
have_stream || missing="$missing libnginx-mod-stream"
[ -e "$dir/by-hand/node_modules/raw-socket/build/Release/raw.node" ] || missing="$missing raw-socket"
[ -e "$dir/by-hand/node_modules/cap/build/Release/cap.node" ] || missing="$missing cap"
[ -z "$missing" ] || { say "still missing:$missing"; exit 1; }
