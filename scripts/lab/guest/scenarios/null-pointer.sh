#!/bin/sh
# A driver reads through a NULL pointer; the oops panics

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
echo 1 >/proc/sys/kernel/panic_on_oops
load_locks
/programs/crowd
/programs/actor culprit 1 pause null & culprit=$!
/programs/truth null-pointer "faulting={\"pid\": $culprit, \"tgid\": $culprit, \"comm\": \"culprit\", \"cpu\": 1}" \
    'function="read_value"' 'fault_address="0x18"' $culprit
sleep 60
fail "no oops"
