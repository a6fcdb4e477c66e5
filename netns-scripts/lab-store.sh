#!/bin/sh
# Gives a lab a store: nodes for the members of an etcd cluster, on a network of their own that every host is on as well.
#
#   sh lab-store.sh NAME HOSTS MEMBERS
#
#    e1 .21   e2 .22   e3 .23        members of etcd
#      |        |        |           10.0.2.0/24
#    ==+========+========+===  store (a bridge in r)
#      |        |        |
#    s1 .11   s2 .12   s3 .13 ...    eth1 of the hosts; packets of clients and GUE stay on eth0
#
# r's end of a host's link is named after it with an m in front: ms1. Taking it down cuts the host off from the store alone.
set -eu
here=$(dirname "$0")
. "$here/lib.sh"

[ $# -eq 3 ] || { echo "usage: lab-store.sh NAME HOSTS MEMBERS" >&2; exit 2; }
lab_open "$1"
hosts=$2 members=$3

lab_bridge r store 1500 10.0.2.1/24
i=1
while [ "$i" -le "$members" ]; do
  lab_node "e$i"
  lab_plug "e$i" eth0 r store 1500 "10.0.2.$((20 + i))/24"
  i=$((i + 1))
done
i=1
while [ "$i" -le "$hosts" ]; do
  lab_plug_as "ms$i" "s$i" eth1 r store 1500 "10.0.2.$((10 + i))/24"
  i=$((i + 1))
done
