#!/bin/sh
# The livelock of thp-livelock-fifo on any kernel, without a module: the host writes into the kernel's code

mount -t debugfs debug /sys/kernel/debug
# What the kernel grants to normal tasks beside real-time ones since 6.12: some milliseconds a second.
if [ "$(parameter fair_server)" = off ]; then
    for runtime in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do
        echo 0 >"$runtime"
    done
fi
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
/programs/crowd
sleep 1
grep -wE 'migration_entry_wait|try_to_migrate|unmap_folio|unmap_page|__folio_split|split_huge_page_to_list(_to_order)?|print_fatal_signals' \
    /proc/kallsyms >/dev/ttyS2
echo "LAB SYMBOLS" >/dev/ttyS2
/programs/livelock --patched
fail "the livelock program came back"
