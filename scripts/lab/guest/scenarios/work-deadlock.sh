#!/bin/sh
# A task flushes a work that waits for the task's mutex; another waits for that mutex; the hung-task watchdog panics
# shellcheck disable=SC2154 # load_locks and /dev/locks set addresses and the worker

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_hung_task
load_locks
/programs/crowd
/programs/actor flusher 1 mutex-a flush & flusher=$!
sleep 1
/programs/actor third -1 mutex-a & third=$!
sleep 1
# shellcheck source=/dev/null # once more: now with the worker
. /dev/locks
read -r name <"/proc/$worker/comm"
# Behind the name there is what it works on.
name=${name%%[+-]*}
/programs/truth work-deadlock "waits=[\
    $(waits $flusher flusher work "$work" "$worker"),\
    $(waits "$worker" "$name" mutex "$mutex_a" $flusher),\
    $(waits $third third mutex "$mutex_a" $flusher)]" $flusher $third
sleep 60
fail "no hung task"
