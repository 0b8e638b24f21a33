#!/bin/sh
# A CPU never gives a spin lock back, and two others spin on it; the soft-lockup watchdog panics
# shellcheck disable=SC2154 # load_locks sets the addresses

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_soft_lockup
load_locks
/programs/crowd
/programs/actor holder 1 pause spinlock & holder=$!
/programs/actor waiter2 2 pause pause spinlock & waiter2=$!
/programs/actor waiter3 3 pause pause spinlock & waiter3=$!
/programs/truth spinlock-held "waits=[\
    $(waits $waiter2 waiter2 spinlock "$spinlock" $holder),\
    $(waits $waiter3 waiter3 spinlock "$spinlock" $holder)]" $holder $waiter2 $waiter3
sleep 60
fail "no soft lockup"
