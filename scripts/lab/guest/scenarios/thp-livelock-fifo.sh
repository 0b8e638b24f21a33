#!/bin/sh
# The livelock with real-time threads (SCHED_FIFO) that fault, which no preemption model ends; no panic

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
insmod /modules/thp_livelock.ko || fail "no thp_livelock module"
# With what is granted to it, the splitter would get through.
turn_fair_server_off
# Real-time threads may take all of a CPU, as where the latency of one thread is all that counts.
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
/programs/crowd
sleep 1
/programs/livelock --fifo
fail "the livelock program came back"
