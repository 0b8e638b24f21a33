#!/bin/sh
# Huge pages are split and faulted on all CPUs, with progress; panic by sysrq-c

echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs
/programs/crowd
/programs/thp_busy &
sleep 5
# shellcheck disable=SC2046 # one argument per process
/programs/truth thp-busy $(pidof thp_busy)
echo c >/proc/sysrq-trigger
