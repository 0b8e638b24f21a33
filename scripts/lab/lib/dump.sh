# `lab dump`: runs one scenario in a guest and saves the dump, the truth and the console.
# shellcheck shell=bash source-path=SCRIPTDIR

# shellcheck source=kernel.sh
source "$LAB_SRC/lib/kernel.sh"
# shellcheck source=guest.sh
source "$LAB_SRC/lib/guest.sh"

DUMP_USAGE="usage: lab dump --kernel SERIES --scenario NAME --route snapshot|kdump -o DIR
                [--format elf|elf-paging|kdump-zlib|flattened] [--also FORMAT[,FORMAT]...] [--level N] [--cpus N]
                [--memory MiB] [--cpu MODEL] [--vmcoreinfo yes|no] [--append 'KERNEL PARAMETERS']"

# How long a guest may take, on a busy machine, to die and to be saved.
GUEST_TIMEOUT=${VMCORE_LAB_TIMEOUT:-140}

dump() {
    local series='' scenario='' route='' format=elf also='' out='' level='' cpus=4 cpu=max memory=1024 append=''
    local vmcoreinfo=yes form
    local -a others=()
    while (($#)); do
        [[ $# -ge 2 ]] || die "$1 needs a value
$DUMP_USAGE"
        case $1 in
            --kernel) series=$2 ;;
            --scenario) scenario=$2 ;;
            --route) route=$2 ;;
            --format) format=$2 ;;
            --also) also=$2 ;;
            -o | --output) out=$2 ;;
            --level) level=$2 ;;
            --cpus) cpus=$2 ;;
            --cpu) cpu=$2 ;;
            --memory) memory=$2 ;;
            --vmcoreinfo) vmcoreinfo=$2 ;;
            --append) append=$2 ;;
            *) die "unknown option $1
$DUMP_USAGE" ;;
        esac
        shift 2
    done
    [[ -n $series && -n $scenario && -n $route && -n $out ]] || die "$DUMP_USAGE"
    [[ -e $LAB_SRC/guest/scenarios/$scenario.sh ]] || die "no scenario '$scenario' ('lab list' shows them)"
    IFS=, read -ra others <<<"$also"
    for form in "$format" "${others[@]}"; do
        case $route:$form in
            snapshot:elf | snapshot:elf-paging | snapshot:kdump-zlib | kdump:elf | kdump:flattened) ;;
            *) die "the route $route cannot make the format $form" ;;
        esac
    done
    [[ $route == snapshot || -z $also ]] || die "the route $route makes one file"
    [[ $vmcoreinfo == yes || $vmcoreinfo == no ]] || die "$DUMP_USAGE"

    level=${level:-$(kernel_field "$series" 5)}

    kernel "$series" >/dev/null
    build_guest "$series"
    # Made beside its place and moved there when it is whole: whoever reads an older dump
    # goes on reading that one.
    mkdir -p "$out"
    WORK=$(mktemp -d "$out/.making.XXXXXX")
    # A socket's path must be short.
    SOCKET=$(mktemp -u -t lab-qmp.XXXXXX)
    GDB_SOCKET=$SOCKET.gdb
    trap clean_up EXIT
    run_guest_until_it_works || {
        mv "$WORK/console.log" "$out/console.log"
        die "no dump; the console is in $out/console.log"
    }
    chmod 644 "$WORK"/vmcore*
    # Most of a guest's memory is zero and need not take disk. A file system without holes does.
    for form in "$WORK"/vmcore*; do
        fallocate --dig-holes "$form" 2>/dev/null || true
    done
    rm -f "$out"/vmcore.*
    mv "$WORK"/{vmcore,truth.json,console.log} "${others[@]/#/$WORK/vmcore.}" "$out/"
    ! has_vmlinux "$series" || ln -sfn "$LAB_DIR/kernels/$series/vmlinux" "$out/vmlinux"
    # The next guest may have others.
    rm -rf "$out/modules"
    cp -r "$GUEST/modules" "$out/modules"
    say "done: $out ($(stat -c %s "$out/vmcore") bytes)"
}

clean_up() {
    [[ -z ${QEMU:-} ]] || kill "$QEMU" 2>/dev/null || true
    rm -rf "$WORK" "$SOCKET" "$GDB_SOCKET"
}

# The functions below see dump()'s variables.

# An emulated machine now and then does not come up. Kernels since 6.18 die in one of five boots while they patch
# their own code ("Oops: int3"): QEMU does not see at once on all CPUs what one of them has written.
ATTEMPTS=6

run_guest_until_it_works() {
    local attempt
    for ((attempt = 1; attempt <= ATTEMPTS; attempt++)); do
        ! run_guest || return 0
        ((attempt == ATTEMPTS)) || say "trying again ($attempt of $((ATTEMPTS - 1)))"
    done
    return 1
}

run_guest() {
    rm -f "$WORK"/*
    start_qemu
    say "$scenario on $series: booting"
    if "save_by_$route" && check_truth; then
        return 0
    fi
    stop_qemu
    return 1
}

start_qemu() {
    local parameters
    machine_options
    parameters="console=$CONSOLE panic=0 preempt=$(preemption) lab.scenario=$scenario"
    local devices=()
    [[ $vmcoreinfo == no ]] || devices+=(-device vmcoreinfo)
    if [[ $route == kdump ]]; then
        parameters+=" crashkernel=256M lab.kdump=$format lab.level=$level"
        # As large as the memory, and then some for the headers; sparse.
        truncate -s "$((memory + 64))M" "$WORK/vmcore"
        devices+=(-drive "if=virtio,format=raw,cache=unsafe,file=$WORK/vmcore")
    fi
    if [[ $scenario == stuck-disk || $scenario == late-disk ]]; then
        truncate -s 64M "$WORK/slow" "$WORK/swap"
        devices+=(-drive "if=virtio,format=raw,file=$WORK/slow,throttling.iops-total=1,throttling.iops-total-max=1"
            -drive "if=virtio,format=raw,file=$WORK/swap")
    fi
    : >"$WORK/console.log"
    "${EMULATOR[@]}" -accel tcg,thread=multi -cpu "$cpu" -smp "$cpus" -m "$memory" \
        -display none -nodefaults -no-reboot "${devices[@]}" \
        -kernel "$LAB_DIR/kernels/$series/vmlinuz" -initrd "$GUEST/initramfs" \
        -append "$parameters $append" \
        "${SERIAL_LINES[@]}" \
        -gdb "unix:$GDB_SOCKET,server=on,wait=off" \
        -qmp "unix:$SOCKET,server=on,wait=off" >"$WORK/qemu.log" 2>&1 &
    QEMU=$!
    GUEST_DEADLINE=$((SECONDS + GUEST_TIMEOUT))
}

# The emulator, the console's name in the guest, and the lines for the console, the truth and the symbols.
machine_options() {
    if [[ $(machine_of "$series") == arm64 ]]; then
        EMULATOR=(qemu-system-aarch64 -M "virt,gic-version=3")
        CONSOLE=ttyAMA0
        # There is one serial line.
        SERIAL_LINES=(
            -serial "file:$WORK/console.log" -device virtio-serial-pci
            -chardev "file,id=truth,path=$WORK/truth.raw" -device "virtserialport,chardev=truth,name=truth"
            -chardev "file,id=symbols,path=$WORK/symbols" -device "virtserialport,chardev=symbols,name=symbols"
        )
    else
        EMULATOR=(qemu-system-x86_64)
        CONSOLE=ttyS0
        SERIAL_LINES=(
            -serial "file:$WORK/console.log" -serial "file:$WORK/truth.raw"
            -serial "file:$WORK/symbols"
        )
    fi
}

# A splitter that is patched to jump to itself offers nobody its CPU: it has to be taken from it.
preemption() {
    case $scenario in
        *-patched) echo full ;;
        *) echo none ;;
    esac
}

stop_qemu() {
    kill "$QEMU" 2>/dev/null || true
    wait "$QEMU" 2>/dev/null || true
    QEMU=''
}

# wait_for WHAT FILE REGEX: until a line in FILE matches. Fails when the guest says
# that it failed, dies without a match, or takes too long.
wait_for() {
    local what=$1 file=$2 regex=$3 hopeless=''
    until grep -aqE "$regex" "$file" 2>/dev/null; do
        if [[ -n $hopeless ]]; then
            say "$hopeless, before: $what"
            cat "$WORK/qemu.log" >&2
            return 1
        fi
        # The match may have come between the two looks, so there is one more.
        if grep -aq 'LAB FAILED' "$WORK/console.log"; then
            hopeless=$(grep -a 'LAB FAILED' "$WORK/console.log")
        elif grep -aq 'end Kernel panic' "$WORK/console.log"; then
            hopeless="the kernel panicked"
        elif grep -aqE 'Oops: int3' "$WORK/console.log"; then
            hopeless="the emulator tripped over code that was being patched"
        elif ! kill -0 "$QEMU" 2>/dev/null; then
            hopeless="QEMU ended"
        elif ((SECONDS > GUEST_DEADLINE)); then
            hopeless="the time is up"
        else
            sleep 0.3
        fi
    done
    say "$what"
}

# A watchdog that has threads of its own can get no CPU from real-time threads: the module says who spins.
wait_for_spinners() {
    local number
    for ((number = 0; number < cpus; number++)); do
        wait_for "CPU $number spins" "$WORK/console.log" "spinner pid [0-9]+ cpu $number " || return 1
    done
}

# The spinners get to spin by what is written into the kernel now; that each CPU does is looked at afterwards.
patch_kernel() {
    local stub=(python3 "$LAB_SRC/lib/gdbstub.py" "$GDB_SOCKET" "$WORK/symbols" "$(machine_of "$series")")
    wait_for "the guest's symbols are known" "$WORK/symbols" 'LAB SYMBOLS' || return 1
    "${stub[@]}" patch || return 1
    say "the kernel is patched"
    sleep 20
    "${stub[@]}" watch "$cpus" >>"$WORK/console.log" || return 1
    say "all CPUs spin"
    sleep 8
}

save_by_snapshot() {
    wait_for "the scenario runs" "$WORK/truth.raw" '\}.?$' || return 1
    if [[ $scenario == *-patched ]]; then
        patch_kernel || return 1
    elif [[ " $append " == *" lab.softlockup_panic=0 "* ]]; then
        wait_for "all CPUs are locked up" "$WORK/console.log" 'soft lockup' || return 1
        sleep 5
    elif [[ $scenario == *-fifo ]]; then
        wait_for_spinners || return 1
        sleep 8
    else
        wait_for "the kernel panicked" "$WORK/console.log" 'end Kernel panic' || return 1
        # The CPU that panics says so before it has come to rest.
        sleep 0.5
    fi
    local -a files=("$format" "$WORK/vmcore")
    for form in "${others[@]}"; do
        files+=("$form" "$WORK/vmcore.$form")
    done
    python3 "$LAB_SRC/lib/qmp.py" "$SOCKET" dump "${files[@]}" || return 1
    wait "$QEMU" || return 1
    QEMU=''
}

save_by_kdump() {
    local size
    wait_for "the scenario runs" "$WORK/truth.raw" '\}.?$' || return 1
    # Nothing about the panic: when several CPUs panic at once, the crash kernel may take
    # over before a word of it is on the console (the dump's log has it).
    wait_for "the crash kernel saved the dump" "$WORK/truth.raw" '^LAB SAVED [0-9]+' || return 1
    wait "$QEMU" || return 1
    QEMU=''
    size=$(sed -n 's/^LAB SAVED \([0-9]*\).*/\1/p' "$WORK/truth.raw")
    truncate -s "$size" "$WORK/vmcore"
}

check_truth() {
    python3 "$LAB_SRC/lib/truth.py" "$WORK/truth.raw" "$WORK/console.log" "$WORK/truth.json"
}
