#!/bin/sh
# A disk that completes one request a second has had others for more than twice their timeout; panic by sysrq-c

block=0
while [ "$block" -lt 100 ]; do
    # Far apart, so that they are not merged.
    dd if=/dev/vda of=/dev/null bs=4k count=1 skip="$((block * 128))" iflag=direct &
    block=$((block + 1))
done
# The timeout of virtio disks is 30 s.
sleep 65
cat /proc/diskstats
# shellcheck disable=SC2046 # one argument per process
/programs/truth late-disk 'disk="/dev/vda"' $(pidof dd)
echo c >/proc/sysrq-trigger
