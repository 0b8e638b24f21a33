#!/bin/sh
# A process takes all memory; the kernel is told to panic instead of killing it

echo 1 >/proc/sys/vm/panic_on_oom
/programs/crowd
/programs/actor eater -1 eat & eater=$!
/programs/truth oom $eater
sleep 60
fail "memory is not used up"
