#!/bin/sh
# Two tasks wait for the mutex that the other one has; the hung-task watchdog panics
# shellcheck disable=SC2154 # load_locks sets the addresses

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_hung_task
load_locks
/programs/crowd
/programs/actor first 1 mutex-a pause mutex-b & first=$!
/programs/actor second 2 mutex-b pause mutex-a & second=$!
sleep 2
/programs/actor third -1 mutex-a & third=$!
sleep 1
/programs/truth mutex-deadlock "waits=[\
    $(waits $first first mutex "$mutex_b" $second),\
    $(waits $second second mutex "$mutex_a" $first),\
    $(waits $third third mutex "$mutex_a" $first)]" $first $second $third
sleep 60
fail "no hung task"
