#!/bin/sh
# A CPU has its interrupts off for ever, and another waits for it to answer a call; the soft-lockup watchdog panics

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_soft_lockup
load_locks
/programs/crowd
/programs/actor deaf 1 pause no-irqs spin & deaf=$!
/programs/actor caller 2 pause pause call & caller=$!
/programs/truth no-answer "deaf={\"pid\": $deaf, \"tgid\": $deaf, \"comm\": \"deaf\", \"cpu\": 1}" \
    "callers=[{\"pid\": $caller, \"tgid\": $caller, \"comm\": \"caller\", \"cpu\": 2}]" $deaf $caller
sleep 60
fail "no soft lockup"
