#!/bin/sh
# Two tasks wait for the mutex that the other one has; the hung-task watchdog panics
# shellcheck disable=SC2154 # load_locks sets the addresses

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_hung_task
load_locks
# `lab.sleeps=interruptible` or `killable`: how the two sleep. The third always sleeps so that the watchdog complains.
sleeps=$(parameter sleeps)
/programs/crowd
/programs/actor first 1 ${sleeps:+"$sleeps"} mutex-a pause mutex-b & first=$!
/programs/actor second 2 ${sleeps:+"$sleeps"} mutex-b pause mutex-a & second=$!
sleep 2
/programs/actor third -1 mutex-a & third=$!
sleep 1
/programs/truth mutex-deadlock "waits=[\
    $(waits $first first mutex "$mutex_b" $second),\
    $(waits $second second mutex "$mutex_a" $first),\
    $(waits $third third mutex "$mutex_a" $first)]" $first $second $third
sleep 60
fail "no hung task"
