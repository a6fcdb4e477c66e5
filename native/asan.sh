#!/bin/sh
# Builds the addon with AddressSanitizer and UBSan into native/build-asan and runs the addon's tests with it.
# Needs a compiled tree (npm run build) and cc. Exit code 3: this machine has no sanitizer or no Node headers.
set -eu
cd "$(dirname "$0")/.."

node_include=$(node -p 'require("path").join(process.execPath, "../../include/node")')
version=$(node -p 'process.versions.node')
[ -f "$node_include/node_api.h" ] || node_include=${XDG_CACHE_HOME:-$HOME/.cache}/node-gyp/$version/include/node
[ -f "$node_include/node_api.h" ] || { echo "asan.sh: no node_api.h in $node_include" >&2; exit 3; }
library=$(cc -print-file-name=libasan.so)
[ -f "$library" ] || { echo "asan.sh: cc has no libasan" >&2; exit 3; }

mkdir -p native/build-asan
addon=$PWD/native/build-asan/haflinger.node
cc -std=gnu11 -g -O1 -Wall -Wextra -Werror -fPIC -shared -pthread -fno-omit-frame-pointer \
  -fsanitize=address,undefined -fno-sanitize-recover=all \
  -DNAPI_VERSION=8 -D_GNU_SOURCE -DBUILDING_NODE_EXTENSION -I"$node_include" -Inative/include native/*.c -o "$addon"

# V8 does not free what it has at exit, so leaks would be its own.
unset NODE_TEST_CONTEXT
HAFL_NATIVE=$addon LD_PRELOAD=$library ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
  NODE_OPTIONS="--import=file://$PWD/dist/test/support/native-under-test.js" \
  exec node --test dist/test/io/checksum.test.js dist/test/io/native-errors.test.js dist/test/io/shared-memory.test.js dist/test/io/pass-descriptors.test.js dist/test/io/kernel.test.js dist/test/io/filter.test.js
