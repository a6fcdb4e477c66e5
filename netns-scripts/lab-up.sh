#!/bin/sh
# Raises the network of a lab; processes are started by `hafl lab up`.
#
#   sh lab-up.sh NAME HOSTS CLIENTS [VIP...]
#
#    c1 .11   c2 .12  ...            clients, MTU 1500
#      |        |                    203.0.113.0/24  2001:db8:c::/64
#    ==+========+======  out
#              r .1                  router: one route per VIP over all hosts, chosen by a hash over addresses and ports;
#      |        |      |             without a VIP here it has none, and BIRD makes them
#    ==+========+======+====  in
#      |        |      |             10.0.1.0/24  fd00:1::/64, MTU 1600: room for the GUE wrapper
#    s1 .11   s2 .12  s3 .13 ...     hosts; replies go straight back through r
#
# `out` and `in` are bridges in r; r's end of a link is named after the node at the other end.
set -eu
here=$(dirname "$0")
. "$here/lib.sh"

[ $# -ge 3 ] || { echo "usage: lab-up.sh NAME HOSTS CLIENTS [VIP...]" >&2; exit 2; }
lab_open "$1"
hosts=$2 clients=$3
shift 3
[ "$hosts" -ge 1 ] && [ "$hosts" -le 200 ] || lab_die "1 to 200 hosts"
[ "$clients" -ge 1 ] && [ "$clients" -le 200 ] || lab_die "1 to 200 clients"
[ -z "$(lab_nodes)" ] || lab_die "is up already, take it down first: hafl lab down --name $LAB"

trap 'lab_delete' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lab_node r ipv4/ip_forward=1 ipv6/conf/all/forwarding=1 \
  ipv4/fib_multipath_hash_policy=1 ipv6/fib_multipath_hash_policy=1
lab_bridge r out 1500 203.0.113.1/24 2001:db8:c::1/64
lab_bridge r in 1600 10.0.1.1/24 fd00:1::1/64

i=1
while [ "$i" -le "$clients" ]; do
  lab_node "c$i"
  lab_plug "c$i" eth0 r out 1500 "203.0.113.$((10 + i))/24" "2001:db8:c::$((10 + i))/64"
  ip -n "$(lab_ns "c$i")" route add default via 203.0.113.1
  ip -n "$(lab_ns "c$i")" route add default via 2001:db8:c::1
  i=$((i + 1))
done

# rp_filter=2 is what systemd gives the devices of a Debian or Ubuntu host. Servers may bind a VIP before the agent
# has put it on lo.
i=1
while [ "$i" -le "$hosts" ]; do
  lab_node "s$i" ipv4/conf/default/rp_filter=2 ipv4/ip_nonlocal_bind=1 ipv6/ip_nonlocal_bind=1
  lab_plug "s$i" eth0 r in 1600 "10.0.1.$((10 + i))/24" "fd00:1::$((10 + i))/64"
  ip -n "$(lab_ns "s$i")" route add default via 10.0.1.1
  ip -n "$(lab_ns "s$i")" route add default via fd00:1::1
  i=$((i + 1))
done

all=$(seq -s ' ' 1 "$hosts")
for vip; do
  # shellcheck disable=SC2086 # a list of words
  sh "$here/lab-route.sh" "$LAB" "$vip" $all
done

trap - EXIT
