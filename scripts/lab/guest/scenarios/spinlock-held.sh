#!/bin/sh
# A CPU never gives a spin lock back, and all but one of the others spin on it; the soft-lockup watchdog panics. With PREEMPT_RT they
# sleep for it, and sysrq-c ends it.
# shellcheck disable=SC2154 # load_locks sets the addresses

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_soft_lockup
load_locks
# `lab.lock=rwlock-read` or `rwlock-write`: what the holder takes; those that wait want to write.
held=$(parameter lock) kind=spinlock lock=$spinlock wanted=spinlock
[ -z "$held" ] || kind=rwlock lock=$rwlock wanted=rwlock-write
/programs/crowd
/programs/actor holder 1 pause "${held:-spinlock}" & holder=$!
# One waiter spins on the lock, one at the head of its queue, the others in the queue.
truth='' pids=$holder cpu=2
while [ "$cpu" -lt "$(nproc)" ]; do
    /programs/actor "waiter$cpu" "$cpu" pause pause "$wanted" & waiter=$!
    truth="$truth${truth:+, }$(waits $waiter "waiter$cpu" "$kind" "$lock" "$holder")"
    pids="$pids $waiter"
    cpu=$((cpu + 1))
done
# shellcheck disable=SC2086 # one argument per process
/programs/truth spinlock-held "waits=[$truth]" $pids
case $(uname -v) in
*PREEMPT_RT*)
    # There they sleep, and no watchdog complains of who sleeps for a spin lock.
    echo 5 >/proc/sys/kernel/hung_task_timeout_secs
    sleep 20
    echo c >/proc/sysrq-trigger
    ;;
esac
sleep 60
fail "no soft lockup"
