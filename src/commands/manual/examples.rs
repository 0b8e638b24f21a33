//! Lines to begin with. A test parses each of them.

/// A command line, and what for.
pub(super) struct Example {
    pub(super) line: &'static str,
    pub(super) purpose: &'static str,
}

macro_rules! examples {
    ($($purpose:literal => $line:literal),* $(,)?) => {
        &[$(Example { line: $line, purpose: $purpose }),*]
    };
}

/// By the name of the command; empty for the program.
pub(super) fn of(command: &str) -> &'static [Example] {
    judging(command)
        .or_else(|| tasks(command))
        .or_else(|| by_hand(command))
        .or_else(|| lists(command))
        .unwrap_or_else(|| making(command))
}

fn judging(command: &str) -> Option<&'static [Example]> {
    Some(match command {
        "" => examples![
            "What hung this machine?" => "vmcore-thp analyze /var/crash/127.0.0.1-2026-11-28/vmcore",
            "The same, with source lines, as a page to attach to a ticket:" => "vmcore-thp analyze vmcore vmlinux -o report.html",
            "Where only the kernel's log is left:" => "vmcore-thp log vmcore-dmesg.txt",
            "Look around:" => "vmcore-thp shell vmcore vmlinux",
        ],
        "analyze" => examples![
            "With the vmlinux that is installed under /usr/lib/debug, or without any:" => "vmcore-thp analyze vmcore",
            "One line, for a script:" => "vmcore-thp analyze vmcore vmlinux --brief",
            "Everything that was found, for a program:" => "vmcore-thp analyze vmcore vmlinux --format json",
            "What says so that CPU 3 spins, one fact a line:" => "vmcore-thp analyze vmcore vmlinux --wide | grep 'CPU 3'",
        ],
        "log" => examples![
            "What kdump saved beside the dump:" => "vmcore-thp log /var/crash/127.0.0.1-2026-11-28/vmcore-dmesg.txt",
            "From another program:" => "vmcore-thp log - --format json",
        ],
        "triage" => examples![
            "All dumps and logs below a directory, those that were not judged before:" => "vmcore-thp triage /var/crash",
            "Also say it beside each dump, and in a store of one's own:" => "vmcore-thp triage --beside --store crashes.db /var/crash",
        ],
        "triage-report" => examples![
            "What the store holds, as a page, with one of each dump:" => "vmcore-thp triage report --store crashes.db -o pile.html --pages pages",
        ],
        "triage-plan" => {
            examples!["List what there is to judge:" => "vmcore-thp triage plan /srv/crash -o shares/plan.jsonl"]
        }
        "triage-work" => examples![
            "The third of eight shares:" => "vmcore-thp triage work --plan shares/plan.jsonl --store shares --shard 3/8",
        ],
        "triage-merge" => examples!["Rows of all shares into shares/triage.db:" => "vmcore-thp triage merge shares"],
        "triage-export" => {
            examples!["For a spreadsheet:" => "vmcore-thp triage export --store crashes.db --format csv -o crashes.csv"]
        }
        "explain" => examples![
            "All issues, one a line:" => "vmcore-thp explain",
            "What a deadlock is, what is looked for, and what to do:" => "vmcore-thp explain deadlock",
        ],
        "drgn-script" => examples![
            "Have drgn read the evidence of a verdict again:" => "vmcore-thp drgn-script vmcore vmlinux -o check.py",
        ],
        _ => return None,
    })
}

fn tasks(command: &str) -> Option<&'static [Example]> {
    Some(match command {
        "bt" => examples![
            "What every CPU was running:" => "vmcore-thp bt vmcore vmlinux",
            "Who sleeps and cannot be woken, equal stacks once:" => "vmcore-thp bt vmcore vmlinux --state D",
            "One task, with all registers that were saved:" => "vmcore-thp bt vmcore vmlinux --pid 151 --registers",
        ],
        "ps" => examples![
            "Who has not run for the longest time:" => "vmcore-thp ps vmcore vmlinux --sort wait",
            "Who started whom:" => "vmcore-thp ps vmcore vmlinux --tree",
        ],
        "mod" => examples!["Which modules taint the kernel:" => "vmcore-thp mod vmcore vmlinux"],
        "runq" => examples!["Who has each CPU, and who waits for it:" => "vmcore-thp runq vmcore vmlinux"],
        "dmesg" => examples![
            "The end of the log:" => "vmcore-thp dmesg vmcore | tail -n 50",
            "The lines of each CPU or task together:" => "vmcore-thp dmesg vmcore --by-caller",
        ],
        "info" => examples!["Which kernel, machine, panic:" => "vmcore-thp info vmcore"],
        "shell" => examples![
            "A prompt:" => "vmcore-thp shell vmcore vmlinux",
            "Two commands on one opening of the dump:" => "vmcore-thp shell vmcore vmlinux -c runq -c 'bt --state D'",
            "What was written for crash -i:" => "vmcore-thp shell vmcore vmlinux -i commands.txt",
        ],
        _ => return None,
    })
}

fn by_hand(command: &str) -> Option<&'static [Example]> {
    Some(match command {
        "vtop" => examples![
            "An address of the kernel:" => "vmcore-thp vtop vmcore vmlinux ffffffff81a00000",
            "An address of a process:" => "vmcore-thp vtop vmcore vmlinux --pid 151 7fb738c03140",
        ],
        "struct" => examples![
            "What a type looks like, with offsets:" => "vmcore-thp struct vmcore vmlinux task_struct",
            "Some members of an object:" => "vmcore-thp struct vmcore vmlinux task_struct.pid,comm ffff888004012540",
        ],
        "p" => examples![
            "A variable of each CPU:" => "vmcore-thp p vmcore vmlinux runqueues.nr_running",
            "Through pointers:" => "vmcore-thp p vmcore vmlinux 'task(1)->mm->owner.comm'",
        ],
        "rd" => {
            examples!["Words, with the symbols that they are addresses of:" => "vmcore-thp rd vmcore vmlinux --symbols jiffies 16"]
        }
        "sym" => examples![
            "Which function is there:" => "vmcore-thp sym vmcore vmlinux ffffffff81a00000",
            "All with this in their names:" => "vmcore-thp sym vmcore vmlinux --query migration_entry",
        ],
        "dis" => examples![
            "With source lines; whoever is in it is marked:" => "vmcore-thp dis vmcore vmlinux --lines schedule",
            "From the start of a function up to an address:" => "vmcore-thp dis vmcore vmlinux --reverse ffffffff81a00000",
        ],
        "list" => examples![
            "The names of all modules:" => "vmcore-thp list vmcore vmlinux -H modules --offset module.list --show module.name",
        ],
        "tree" => examples![
            "What waits on a run queue:" => "vmcore-thp tree vmcore vmlinux --type rbtree --offset sched_entity.run_node ffff888004012540",
        ],
        "search" => {
            examples!["Who holds a pointer to this lock:" => "vmcore-thp search vmcore vmlinux ffff888004012540"]
        }
        _ => return None,
    })
}

fn lists(command: &str) -> Option<&'static [Example]> {
    Some(match command {
        "timer" => examples!["Is a CPU deaf to timers?" => "vmcore-thp timer vmcore vmlinux"],
        "irq" => examples!["What holds up the network or a disk?" => "vmcore-thp irq vmcore vmlinux"],
        "waitq" => examples![
            "In which queue each sleeping task is:" => "vmcore-thp waitq vmcore vmlinux",
            "Who is in this one:" => "vmcore-thp waitq vmcore vmlinux ffff888004012540",
        ],
        "workqueue" => examples!["Which pool is stuck, and on what:" => "vmcore-thp workqueue vmcore vmlinux"],
        "locks" => examples!["Who has what others wait for:" => "vmcore-thp locks vmcore vmlinux"],
        "rcu" => examples!["Whom does the grace period wait for?" => "vmcore-thp rcu vmcore vmlinux"],
        "dev" => examples!["Does a disk not answer?" => "vmcore-thp dev vmcore vmlinux"],
        "files" => examples![
            "What hung tasks have open:" => "vmcore-thp files vmcore vmlinux",
            "What one task has open:" => "vmcore-thp files vmcore vmlinux --pid 1",
        ],
        "mount" => examples!["Is a file system frozen?" => "vmcore-thp mount vmcore vmlinux"],
        "net" => examples!["Is there a way to the NFS server?" => "vmcore-thp net vmcore vmlinux"],
        "kmem" => examples!["Was there memory left?" => "vmcore-thp kmem vmcore vmlinux"],
        "swap" => examples!["Was there swap left?" => "vmcore-thp swap vmcore vmlinux"],
        _ => return None,
    })
}

fn making(command: &str) -> &'static [Example] {
    match command {
        "distill" => examples![
            "A few megabytes to pass on, without names, log and host:" => "vmcore-thp distill vmcore vmlinux --redact names,log,host -o small.vmcore",
        ],
        "profile" => {
            examples!["What an analysis needs of a vmlinux:" => "vmcore-thp profile vmlinux -o vmlinux.profile"]
        }
        "synth" => examples![
            "What there is:" => "vmcore-thp synth list",
            "A dump of a machine that never was:" => "vmcore-thp synth thp-livelock --kernel 5.10 -o made",
        ],
        "mcp" => {
            examples!["What a client of the Model Context Protocol is told to run:" => "vmcore-thp mcp vmcore vmlinux"]
        }
        "schema" => examples!["Of the verdict:" => "vmcore-thp schema analyze > analyze.schema.json"],
        "completions" => examples![
            "For all users of bash:" => "vmcore-thp completions bash > /usr/share/bash-completion/completions/vmcore-thp",
        ],
        "man" => examples![
            "A page to read:" => "vmcore-thp man bt | man -l -",
            "All pages, for a package:" => "vmcore-thp man --all -o man1",
        ],
        _ => &[],
    }
}
