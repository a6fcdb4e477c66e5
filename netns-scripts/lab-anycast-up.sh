#!/bin/sh
# Raises the network of a lab of two data centres; processes are started by `hafl lab anycast`.
#
#   sh lab-anycast-up.sh NAME
#
#     c1 .11                                   c2 .139      clients, 203.0.113.0/25 and .128/25, 2001:db8:c:1::/64 and :2::/64
#       |                                        |
#     i1 ============ 10.9.12.0/30 ============ i2          the internet, one router in each of two regions
#       | 10.9.1.0/30                            | 10.9.2.0/30
#     ra ============ 10.9.0.0/30 ============= rb          routers of the data centres; between them the backbone, MTU 1600
#       | 10.0.1.0/24                            | 10.0.2.0/24
#    ===+==+=== in                            ===+==+=== in
#     s1 .11  s2 .12                           s3 .13  s4 .14
#
# IPv6: fd00:9:12::/64, fd00:9:1::/64, fd00:9:2::/64, fd00:9:0::/64, fd00:1::/64, fd00:2::/64. Routes of hosts, clients and the internet
# between the clients are made here; those of ra and rb are for BIRD, which makes them again after a link was down.
set -eu
here=$(dirname "$0")
. "$here/lib.sh"

[ $# -eq 1 ] || { echo "usage: lab-anycast-up.sh NAME" >&2; exit 2; }
lab_open "$1"
[ -z "$(lab_nodes)" ] || lab_die "is up already, take it down first: hafl lab down --name $LAB"

trap 'lab_delete' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for router in i1 i2 ra rb; do
  lab_node "$router" ipv6/conf/default/keep_addr_on_down=1 ipv4/ip_forward=1 ipv6/conf/all/forwarding=1 \
    ipv4/fib_multipath_hash_policy=1 ipv6/fib_multipath_hash_policy=1
done

# link NODE DEV NODE DEV MTU NET4 NET6: addresses .1 and .2, ::1 and ::2
link() {
  ip -n "$(lab_ns "$1")" link add "$2" mtu "$5" type veth peer name "$4" mtu "$5" netns "$(lab_ns "$3")"
  ip -n "$(lab_ns "$1")" link set "$2" up
  ip -n "$(lab_ns "$3")" link set "$4" up
  lab_addresses "$1" "$2" "${6}1/30" "${7}1/64"
  lab_addresses "$3" "$4" "${6}2/30" "${7}2/64"
}
link i1 i2 i2 i1 1500 10.9.12. fd00:9:12::
link i1 ra ra i1 1500 10.9.1. fd00:9:1::
link i2 rb rb i2 1500 10.9.2. fd00:9:2::
link ra rb rb ra 1600 10.9.0. fd00:9:0::

# via NODE PREFIX GATEWAY
via() { ip -n "$(lab_ns "$1")" route add "$2" via "$3"; }

lab_bridge i1 out 1500 203.0.113.1/25 2001:db8:c:1::1/64
lab_bridge i2 out 1500 203.0.113.129/25 2001:db8:c:2::1/64
lab_node c1
lab_plug c1 eth0 i1 out 1500 203.0.113.11/25 2001:db8:c:1::11/64
via c1 default 203.0.113.1
via c1 default 2001:db8:c:1::1
lab_node c2
lab_plug c2 eth0 i2 out 1500 203.0.113.139/25 2001:db8:c:2::11/64
via c2 default 203.0.113.129
via c2 default 2001:db8:c:2::1

lab_bridge ra in 1600 10.0.1.1/24 fd00:1::1/64
lab_bridge rb in 1600 10.0.2.1/24 fd00:2::1/64
host=1
for router in ra ra rb rb; do
  case $router in ra) site=1 ;; rb) site=2 ;; esac
  lab_node "s$host" ipv4/conf/default/rp_filter=2 ipv4/ip_nonlocal_bind=1 ipv6/ip_nonlocal_bind=1
  lab_plug "s$host" eth0 "$router" in 1600 "10.0.$site.$((10 + host))/24" "fd00:$site::$((10 + host))/64"
  via "s$host" default "10.0.$site.1"
  via "s$host" default "fd00:$site::1"
  host=$((host + 1))
done

via i1 203.0.113.128/25 10.9.12.2
via i1 2001:db8:c:2::/64 fd00:9:12::2
via i2 203.0.113.0/25 10.9.12.1
via i2 2001:db8:c:1::/64 fd00:9:12::1

trap - EXIT
