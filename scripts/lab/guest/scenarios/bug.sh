#!/bin/sh
# A driver runs into its own BUG(); the oops panics

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
echo 1 >/proc/sys/kernel/panic_on_oops
load_locks
/programs/crowd
/programs/actor culprit 1 pause bug & culprit=$!
/programs/truth bug "faulting={\"pid\": $culprit, \"tgid\": $culprit, \"comm\": \"culprit\", \"cpu\": 1}" \
    'function="locks_write"' $culprit
sleep 60
fail "no oops"
