#!/bin/sh
# Readers wait for a semaphore whose writer waits for a locked page; the hung-task watchdog panics
# shellcheck disable=SC2154 # load_locks sets the addresses

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_hung_task
load_locks
/programs/crowd
/programs/actor page_holder 1 page sleep & page_holder=$!
sleep 1
/programs/actor writer 2 write page & writer=$!
sleep 1
/programs/actor reader 3 read & reader=$!
/programs/actor other 3 read & other=$!
sleep 1
/programs/truth rwsem-writer "waits=[\
    $(waits $writer writer page "$page" null),\
    $(waits $reader reader rwsem "$semaphore" $writer),\
    $(waits $other other rwsem "$semaphore" $writer)]" $page_holder $writer $reader $other
sleep 60
fail "no hung task"
