# Building blocks of the network-namespace labs. Sourced by the scripts beside it, never run.
#
# A lab has a name, LAB; its nodes are namespaces hl-$LAB-NODE. Node names hold no dash, so that the lab `a` never takes
# a node of the lab `a-b` for its own. Nothing is made outside the namespaces: both ends of a veth pair are born inside
# them, with the offloads that the kernel gives them.
#
# shellcheck shell=sh

LAB_STATE_ROOT=${LAB_STATE_ROOT:-/run/hafl-lab}

lab_die() {
  printf 'lab %s: %s\n' "${LAB-?}" "$*" >&2
  exit 1
}

# lab_open NAME: checks the name and the rights, sets LAB.
lab_open() {
  LAB=$1
  case $LAB in
    '' | -* | *[!a-z0-9-]*) lab_die "a lab's name is made of a-z, 0-9 and -" ;;
  esac
  [ "${#LAB}" -le 32 ] || lab_die "a lab's name has at most 32 characters"
  [ "$(id -u)" -eq 0 ] || lab_die "network namespaces need root: run it with sudo"
}

lab_ns() { printf 'hl-%s-%s' "$LAB" "$1"; }

# Nodes of the lab that exist, one a line. Works without any file, so that `down` finds what a crash left.
lab_nodes() {
  ip netns list | while read -r ns _; do
    node=${ns#"hl-$LAB-"}
    case $node in
      "$ns" | '' | *-*) ;;
      *) printf '%s\n' "$node" ;;
    esac
  done
}

# lab_node NODE [SYSCTL=VALUE...]: a namespace with loopback up. Sysctls (with slashes) are set before any device exists,
# so that `default` counts for all devices. What they inherit differs from machine to machine, hence all are set here.
lab_node() {
  lab_node_name=$(lab_ns "$1")
  shift
  ip netns add "$lab_node_name"
  ip netns exec "$lab_node_name" sh -eu -c '
    set_sysctl() { printf "%s" "$2" >"/proc/sys/net/$1"; }
    set_sysctl ipv4/conf/all/rp_filter 0
    set_sysctl ipv4/conf/default/rp_filter 0
    set_sysctl ipv6/conf/all/disable_ipv6 0
    set_sysctl ipv6/conf/default/disable_ipv6 0
    set_sysctl ipv6/conf/default/accept_dad 0        # addresses are ours alone: no second of waiting for an answer
    set_sysctl ipv6/conf/default/accept_ra 0
    set_sysctl ipv6/conf/default/router_solicitations 0
    for setting; do set_sysctl "${setting%%=*}" "${setting#*=}"; done
    ip link set lo up
  ' sh "$@"
}

# lab_bridge NODE DEV MTU ADDRESS/LENGTH...: the hardware address is fixed, otherwise it changes as ports join. It stands for a
# switch: where br_netfilter is loaded (for containers, as a rule) it would show every frame to the packet filter on the way.
lab_bridge() {
  lab_bridge_node=$1 lab_bridge_dev=$2
  ip netns exec "$(lab_ns "$1")" sh -c 'for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do [ ! -e "$f" ] || echo 0 >"$f"; done'
  ip -n "$(lab_ns "$1")" link add "$2" mtu "$3" address 02:00:00:00:00:01 type bridge
  ip -n "$(lab_ns "$1")" link set "$2" up
  shift 3
  lab_addresses "$lab_bridge_node" "$lab_bridge_dev" "$@"
}

# lab_plug NODE DEV BRIDGE_NODE BRIDGE MTU ADDRESS/LENGTH...: a veth pair from NODE's DEV to a port of the bridge that is
# named after NODE.
lab_plug() { lab_plug_as "$1" "$@"; }

# lab_plug_as PORT NODE DEV ...: the same with another name for the port.
lab_plug_as() {
  lab_plug_port=$1
  shift
  lab_plug_near=$(lab_ns "$1") lab_plug_far=$(lab_ns "$3")
  ip -n "$lab_plug_far" link add "$lab_plug_port" mtu "$5" type veth peer name "$2" mtu "$5" netns "$lab_plug_near"
  ip -n "$lab_plug_far" link set "$lab_plug_port" master "$4" up
  ip -n "$lab_plug_near" link set "$2" up
  lab_plug_node=$1 lab_plug_dev=$2
  shift 5
  lab_addresses "$lab_plug_node" "$lab_plug_dev" "$@"
}

# lab_addresses NODE DEV ADDRESS/LENGTH...
lab_addresses() {
  lab_addresses_ns=$(lab_ns "$1") lab_addresses_dev=$2
  shift 2
  for address; do
    case $address in
      *:*) ip -n "$lab_addresses_ns" address add "$address" dev "$lab_addresses_dev" nodad ;;
      *) ip -n "$lab_addresses_ns" address add "$address" dev "$lab_addresses_dev" ;;
    esac
  done
}

# lab_multipath NODE DEV PREFIX GATEWAY...: one route over all gateways, in place of the one before; none: no route.
lab_multipath() {
  lab_multipath_ns=$(lab_ns "$1") lab_multipath_dev=$2 lab_multipath_prefix=$3
  shift 3
  lab_multipath_hops=
  for gateway; do
    lab_multipath_hops="$lab_multipath_hops nexthop via $gateway dev $lab_multipath_dev"
  done
  if [ -z "$lab_multipath_hops" ]; then
    ip -n "$lab_multipath_ns" route del "$lab_multipath_prefix" 2>/dev/null || true
    return 0
  fi
  # shellcheck disable=SC2086 # a list of words
  ip -n "$lab_multipath_ns" route replace "$lab_multipath_prefix" $lab_multipath_hops
}

# Processes in the lab's namespaces, one pid a line. This shell and its children are never in there.
lab_pids() {
  lab_nodes | while read -r node; do
    ip netns pids "$(lab_ns "$node")" 2>/dev/null || true
  done
}

# Ends every process in the lab's namespaces: asks, waits up to 3 s, then insists. The pids are read anew each time, so
# that a number which the system gave to another process in the meantime is never ours to end.
lab_end_processes() {
  lab_tries=0
  while lab_left=$(lab_pids) && [ -n "$lab_left" ]; do
    case $lab_tries in
      0) lab_signal=TERM ;;
      *) if [ "$lab_tries" -ge 60 ]; then lab_signal=KILL; else lab_signal=0; fi ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    kill -s "$lab_signal" $lab_left 2>/dev/null || true
    lab_tries=$((lab_tries + 1))
    [ "$lab_tries" -lt 160 ] || lab_die "processes that cannot be ended:" $lab_left
    sleep 0.05
  done
}

# Removes the control groups of the lab's hosts (src/lab/uneven/cpu-groups.ts), in which no process is any more. The kernel
# needs a moment to forget those that were.
lab_delete_groups() {
  for group in /sys/fs/cgroup/"hafl-lab-$LAB".* /sys/fs/cgroup/*/"hafl-lab-$LAB".*; do
    lab_tries=0
    while [ -d "$group" ] && ! rmdir "$group" 2>/dev/null; do
      lab_tries=$((lab_tries + 1))
      [ "$lab_tries" -lt 100 ] || lab_die "a control group that cannot be removed: $group"
      sleep 0.05
    done
  done
}

# Takes all of the lab away; nothing to take away is fine.
lab_delete() {
  lab_end_processes
  lab_delete_groups
  lab_nodes | while read -r node; do
    ip netns del "$(lab_ns "$node")"
  done
  rm -rf "${LAB_STATE_ROOT:?}/${LAB:?}"
  rmdir "$LAB_STATE_ROOT" 2>/dev/null || true
}
