#!/bin/sh
# A plain panic (sysrq-c) under mixed load: nothing is wrong with memory

/programs/crowd --busy
sleep 4
# shellcheck disable=SC2046 # one argument per process
/programs/truth sysrq $(pidof crowd)
echo c >/proc/sysrq-trigger
