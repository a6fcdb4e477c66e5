#!/bin/sh
# Takes a lab away: its processes, its namespaces with all devices in them, its state under /run/hafl-lab.
# Finds them by the names of the namespaces, so it also clears what a crash left.
#
#   sh lab-down.sh NAME
set -eu
. "$(dirname "$0")/lib.sh"

[ $# -eq 1 ] || { echo "usage: lab-down.sh NAME" >&2; exit 2; }
lab_open "$1"
lab_delete
