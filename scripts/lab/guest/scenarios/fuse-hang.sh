#!/bin/sh
# The daemon of a FUSE file system does not answer, and tasks wait for it; the hung-task watchdog panics

# shellcheck source=../watchdogs source-path=SCRIPTDIR
. /watchdogs
panic_on_hung_task
insmod /modules/fuse.ko || fail "no fuse module"
mkdir /tmp/remote
/programs/crowd
/programs/fused /tmp/remote & daemon=$!
tries=50
until [ -e /tmp/remote/data ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "nothing is mounted"
    sleep 0.1
done
cat /tmp/remote/data & reader=$!
# Its process looks a name up, and so has the directory's lock; the next one wants that for itself.
stat /tmp/remote/silent & looker=$!
sleep 1
touch /tmp/remote/new & creator=$!
sleep 1
# needs PID COMM PATH: one element of the truth's "hung".
needs() {
    printf '{"pid": %s, "comm": "%s", "path": "%s"}' "$@"
}
/programs/truth fuse-hang "daemon={\"pid\": $daemon, \"comm\": \"fused\"}" 'mount="/tmp/remote"' "hung=[\
    $(needs $reader cat /tmp/remote/data),\
    $(needs $looker stat /tmp/remote/silent),\
    $(needs $creator touch /tmp/remote/new)]" $daemon $reader $looker $creator
sleep 60
fail "no hung task"
