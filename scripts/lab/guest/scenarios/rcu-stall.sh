#!/bin/sh
# One CPU spins in a driver with preemption off, and RCU waits for it; the stall warning panics

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
echo 0 >/proc/sys/kernel/watchdog
echo 5 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout
echo 1 >/proc/sys/kernel/panic_on_rcu_stall
load_locks
/programs/crowd
/programs/actor hog 2 pause no-preempt spin & hog=$!
/programs/actor waiter -1 pause pause grace-period & waiter=$!
/programs/truth rcu-stall "hog={\"pid\": $hog, \"tgid\": $hog, \"comm\": \"hog\", \"cpu\": 2}" $hog $waiter
sleep 60
fail "no RCU stall"
