#!/bin/sh
# Which hosts the router spreads the packets for a VIP over; none: the VIP is unreachable.
#
#   sh lab-route.sh NAME VIP [HOST-NUMBER...]
#
#   clients -- r --+-- s1        sh lab-route.sh lab 192.0.2.10 1 3
#                  x   s2        (the hash over addresses and ports moves flows between directors:
#                  +-- s3         their owners stay the same)
set -eu
. "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || { echo "usage: lab-route.sh NAME VIP [HOST-NUMBER...]" >&2; exit 2; }
lab_open "$1"
vip=$2
shift 2
case $vip in
  *:*) net=fd00:1:: ;;
  *) net=10.0.1. ;;
esac
gateways=
for i; do gateways="$gateways $net$((10 + i))"; done
# shellcheck disable=SC2086 # a list of words
lab_multipath r in "$vip" $gateways
