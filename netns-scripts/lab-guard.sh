#!/bin/sh
# Takes a lab away when the process that holds the other end of our standard input has ended, however it ended.
# A line on the input says that the lab is gone already.
#
#   sh lab-guard.sh NAME <pipe
set -u
trap '' INT TERM HUP
if read -r _; then exit 0; fi
exec sh "$(dirname "$0")/lab-down.sh" "$1"
