#!/bin/sh
# huge pages are split and faulted on all CPUs, with progress; panic by sysrq-c

echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs
/programs/crowd
/programs/thp_busy &
sleep 5
/programs/truth thp-busy "$!"
echo c >/proc/sysrq-trigger
