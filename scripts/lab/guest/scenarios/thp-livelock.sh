#!/bin/sh
# A huge page split and kernel-mode faults livelock; the soft-lockup watchdog panics

# Without the panic, the guest stays in the livelock.
panic=$(parameter softlockup_panic)
insmod /modules/thp_livelock.ko || fail "no thp_livelock module"
echo 4 >/proc/sys/kernel/watchdog_thresh
echo "${panic:-1}" >/proc/sys/kernel/softlockup_panic
/programs/crowd
sleep 1
/programs/livelock
fail "the livelock program came back"
