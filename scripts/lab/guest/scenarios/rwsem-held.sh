#!/bin/sh
# A writer, and a reader behind it, wait for a semaphore whose reader sleeps; the hung-task watchdog panics
# shellcheck disable=SC2154 # load_locks sets the addresses

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_hung_task
load_locks
/programs/crowd
/programs/actor holder 1 read sleep & holder=$!
sleep 1
/programs/actor writer 2 mutex-a write & writer=$!
sleep 1
/programs/actor reader 3 read & reader=$!
/programs/actor behind -1 mutex-a & behind=$!
sleep 1
/programs/truth rwsem-held "waits=[\
    $(waits $writer writer rwsem "$semaphore" $holder),\
    $(waits $reader reader rwsem "$semaphore" $holder),\
    $(waits $behind behind mutex "$mutex_a" $writer)]" $holder $writer $reader $behind
sleep 60
fail "no hung task"
