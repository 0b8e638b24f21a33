#!/bin/sh
# The livelock of thp-livelock-fifo on any kernel, without a module: the host writes into the kernel's code

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
[ "$(parameter fair_server)" != off ] || turn_fair_server_off
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
/programs/crowd
sleep 1
grep -wE 'migration_entry_wait|try_to_migrate|unmap_folio|unmap_page|__folio_split|split_huge_page_to_list(_to_order)?|print_fatal_signals' \
    /proc/kallsyms >/dev/symbols
echo "LAB SYMBOLS" >/dev/symbols
/programs/livelock --patched
fail "the livelock program came back"
