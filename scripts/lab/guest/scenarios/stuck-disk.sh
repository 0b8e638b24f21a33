#!/bin/sh
# A disk that completes one request a second, tasks that wait for it, and swap in use: for `dev`, `files` and `swap`

mkswap /dev/vdb >/dev/null || fail "no swap area"
swapon /dev/vdb || fail "no swap"
mkdir -p /cg
mount -t cgroup2 cg /cg || fail "no cgroups"
mkdir /cg/filler
echo +memory >/cg/cgroup.subtree_control
# The pages of this file are swapped out: random bytes, which take room in the swap area.
sh -c 'echo $$ >/cg/filler/cgroup.procs; dd if=/dev/urandom of=/tmp/fill bs=1M count=24' || fail "no file"
echo 12M >/cg/filler/memory.reclaim

for block in 0 1 2 3 4 5 6 7 8 9 10 11; do
    dd if=/dev/vda of=/dev/null bs=64k count=1 skip="$block" iflag=direct &
done
dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=4096 oflag=direct &
sleep 4
# What the kernel counts itself: the ninth number is of requests in flight.
cat /proc/diskstats /proc/swaps
used=$(awk '$1 == "/dev/vdb" { print $4 }' /proc/swaps)
# shellcheck disable=SC2046 # one argument per process
/programs/truth sysrq 'disk="/dev/vda"' "swap={\"path\": \"/dev/vdb\", \"used_kib\": $used}" $(pidof dd)
echo c >/proc/sysrq-trigger
