#!/bin/sh
# One CPU spins in a driver with preemption off; the soft-lockup watchdog panics

insmod /modules/cpu_hog.ko || fail "no cpu_hog module"
echo 4 >/proc/sys/kernel/watchdog_thresh
echo 1 >/proc/sys/kernel/softlockup_panic
/programs/crowd
# The child is its own process from the start, so its pid is known before it spins.
taskset 2 sh -c '
    printf hog >/proc/self/comm
    /programs/truth soft-lockup "locked_up={\"pid\": $$, \"tgid\": $$, \"comm\": \"hog\", \"cpu\": 1}" $$
    echo 1 >/sys/module/cpu_hog/parameters/hog
' &
sleep 60
fail "no soft lockup"
