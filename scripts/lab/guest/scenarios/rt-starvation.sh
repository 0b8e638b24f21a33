#!/bin/sh
# A real-time task never leaves its CPU, and a normal one waits for it; panic by sysrq-c

echo -1 >/proc/sys/kernel/sched_rt_runtime_us
# Since 6.12 a deadline server runs normal tasks for a twentieth of the time all the same.
mount -t debugfs debugfs /sys/kernel/debug
server=/sys/kernel/debug/sched/fair_server/cpu1/runtime
[ ! -e "$server" ] || echo 0 >"$server"
/programs/crowd
/programs/actor starved 1 loop & starved=$!
sleep 1
/programs/actor hog 1 -f loop & hog=$!
sleep 12
/programs/truth rt-starvation "starved={\"pid\": $starved, \"tgid\": $starved, \"comm\": \"starved\", \"cpu\": 1}" \
    "hog={\"pid\": $hog, \"tgid\": $hog, \"comm\": \"hog\", \"cpu\": 1}" $starved $hog
echo c >/proc/sysrq-trigger
