//! What healthy machines report as well: by itself it makes none ill, and long before the end it is nothing.

use vmcore_console::Log;

use super::judge;
use crate::from_log::{LogDiagnosis, from_log_until};
use crate::{Confidence, Issue};

const OOM: &str = "Memory cgroup out of memory: Killed process 850 (java) total-vm:4000000kB, anon-rss:500000kB\n";
const CORRECTED: &str = "EDAC MC0: 1 CE memory read error on DIMM#0 (channel:1 slot:0)\n";
const CORRECTED_BUS: &str = "pcieport 0000:00:1c.5: AER: Corrected error received: 0000:01:00.0\n";
const ROUTINE: [(&str, Issue); 3] =
    [(OOM, Issue::OutOfMemory), (CORRECTED, Issue::HardwareError), (CORRECTED_BUS, Issue::HardwareError)];
const LATER: &str = "[90000.000000] usb 1-1: new device\n";
const SYSRQ: &str =
    "[90000.000000] sysrq: Trigger a crash\n[90000.000001] Kernel panic - not syncing: sysrq triggered crash\n";

fn at(seconds: u32, text: &str) -> String {
    format!("[{seconds:>5}.000000] {text}")
}

fn verdict(found: &LogDiagnosis) -> (Option<Issue>, Confidence) {
    (found.verdict.issue, found.verdict.confidence)
}

#[test]
fn long_before_the_end_it_is_nothing() {
    for (text, issue) in ROUTINE {
        for end in [LATER, SYSRQ] {
            let found = judge(&(at(4000, text) + end));
            assert_eq!(verdict(&found), (Some(issue), Confidence::None), "{text}{end}");
            let summary = &found.verdict.summary;
            for words in [text.trim_end(), "at 4000.0 s, 86000.0 s before", "nothing else is reported"] {
                assert!(summary.contains(words), "{summary}");
            }
            assert!(found.timeline.iter().any(|entry| entry.is_verdict && entry.summary.contains(text.trim_end())));
        }
    }
    let before = |end: &str| judge(&(at(4000, OOM) + end)).verdict.summary;
    assert!(before(LATER).contains("before the log ends") && before(SYSRQ).contains("before somebody asked for"));
}

#[test]
fn shortly_before_the_end_it_is_possible() {
    for (text, issue) in ROUTINE {
        for end in [LATER, SYSRQ] {
            let found = judge(&(at(89_500, text) + end));
            assert_eq!(verdict(&found), (Some(issue), Confidence::Possible), "{text}{end}");
            assert!(found.verdict.summary.contains("500.0 s before"), "{}", found.verdict.summary);
        }
    }
}

#[test]
fn the_last_of_several_counts() {
    let many = |last: u32| judge(&(at(4000, OOM) + &at(89_000, CORRECTED) + &at(last, OOM) + LATER));
    let found = many(89_100);
    assert_eq!(verdict(&found), (Some(Issue::OutOfMemory), Confidence::None));
    let summary = &found.verdict.summary;
    assert!(summary.contains("the last of 2 such reports") && summary.contains("nothing worse"), "{summary}");
    assert_eq!(verdict(&many(89_900)), (Some(Issue::OutOfMemory), Confidence::Possible));
    let chained: String = (0..200).map(|number| at(70_000 + number * 100, OOM)).collect();
    assert_eq!(verdict(&judge(&(chained.clone() + LATER))), (Some(Issue::OutOfMemory), Confidence::Possible));
    assert_eq!(verdict(&judge(&(chained + &at(91_000, "usb 1-1: new device\n")))).1, Confidence::None);
}

#[test]
fn without_a_time_it_may_have_been_just_now() {
    let found = judge(&(OOM.to_owned() + "usb 1-1: new device\n"));
    assert_eq!(verdict(&found), (Some(Issue::OutOfMemory), Confidence::Possible));
    assert!(found.verdict.summary.contains("does not say"), "{}", found.verdict.summary);
    // A time of day in a program's line is no time since boot.
    let foreign = "Nov 22 10:00:02 host app[7]: [1795341602.000000] hello\n";
    assert_eq!(verdict(&judge(&(at(4000, OOM) + foreign))).1, Confidence::Possible);
    assert_eq!(verdict(&judge(&(at(4000, OOM) + "[91000.000000] sysrq: Trigger a crash\n"))).1, Confidence::None);
}

#[test]
fn dates_are_times_too() {
    let day = |date: &str, text: &str| format!("{date} host kernel: {}\n", text.trim_end());
    let judged = |end: &str| verdict(&judge(&(day("Nov 21 10:00:00", OOM) + &day(end, "usb 1-1: new device"))));
    assert_eq!(judged("Nov 22 10:00:00"), (Some(Issue::OutOfMemory), Confidence::None));
    assert_eq!(judged("Nov 21 10:09:00"), (Some(Issue::OutOfMemory), Confidence::Possible));
    // Files in the wrong order: what seems to be a year later was before.
    assert_eq!(judged("Nov 18 10:00:00"), (Some(Issue::OutOfMemory), Confidence::Possible));
    let iso = day("2026-11-21T10:00:00+00:00", OOM);
    assert_eq!(verdict(&judge(&(iso.clone() + &day("2026-11-23T09:00:00+00:00", "usb")))).1, Confidence::None);
    assert_eq!(
        verdict(&judge(&(iso + "no date: here, nor there, in a line that is long enough\n"))).1,
        Confidence::Possible
    );
}

#[test]
fn a_dump_knows_when_the_machine_stopped() {
    let log = Log::read(at(4000, OOM).as_bytes()).unwrap();
    assert_eq!(verdict(&from_log_until(&log, None)).1, Confidence::Possible);
    assert_eq!(verdict(&from_log_until(&log, Some(4_100_000_000_000))).1, Confidence::Possible);
    let found = from_log_until(&log, Some(9_000_000_000_000));
    assert_eq!(verdict(&found).1, Confidence::None);
    assert!(found.verdict.summary.contains("5000.0 s before the machine stopped"), "{}", found.verdict.summary);
    let log = Log::read((at(4000, OOM) + LATER).as_bytes()).unwrap();
    assert_eq!(verdict(&from_log_until(&log, Some(4_100_000_000_000))).1, Confidence::None);
}

#[test]
fn what_is_not_routine_stays_what_it_was() {
    for (text, issue) in [
        ("Out of memory: Killed process 12 (db) total-vm:1kB\n", Issue::OutOfMemory),
        ("EDAC MC0: 1 UE memory read error on DIMM#0 (channel:1)\n", Issue::HardwareError),
        ("RAS: Soft-offlining pfn: 0x10cb39\n", Issue::HardwareError),
        ("mce: CMCI storm detected: switching to poll mode\n", Issue::HardwareError),
        ("CMCI storm detected: switching to poll mode\n", Issue::HardwareError),
        ("mce: CPU3 BANK7 CMCI storm detected\n", Issue::HardwareError),
    ] {
        let found = judge(&(at(3900, CORRECTED) + &at(4000, text) + LATER));
        assert_eq!(verdict(&found), (Some(issue), Confidence::Probable), "{text}");
        assert!(found.verdict.summary.contains(text.trim_end()), "{}", found.verdict.summary);
    }
    let panic = "[ 4000.000001] Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled\n";
    let found = judge(&(at(4000, OOM) + panic + LATER));
    assert_eq!(verdict(&found), (Some(Issue::OutOfMemory), Confidence::Probable));
}

#[test]
fn what_may_be_behind_a_hang_is_named() {
    let hung = at(4200, "INFO: task java:851 blocked for more than 120 seconds.\n");
    for (text, _) in ROUTINE {
        let found = judge(&(at(4000, text) + &hung + LATER));
        assert_eq!(verdict(&found), (Some(Issue::HungTask), Confidence::Probable));
        let summary = &found.verdict.summary;
        assert!(summary.contains(&format!("Before it (at 4000 s): {}", text.trim_end())), "{summary}");
    }
    // What failed says more, whatever came first.
    let failed = at(4100, "blk_update_request: I/O error, dev sda, sector 0\n");
    let summary = judge(&(at(4000, OOM) + &failed + &hung)).verdict.summary;
    assert!(summary.contains("Before it (at 4100 s): blk_update_request"), "{summary}");
}

#[test]
fn a_kernel_that_died_in_silence_is_not_well() {
    let start = "[    0.000000] Linux version 6.1.0 (a@b) (gcc 12) #1 SMP x\n";
    let next = "[    0.000000] Linux version 6.1.0 (a@b) (gcc 12) #1 SMP x\n[    0.000000] Command line: elfcorehdr=1015156K\n";
    let found = judge(&(start.to_owned() + &at(4000, OOM) + LATER + next));
    assert_eq!(verdict(&found), (None, Confidence::Insufficient));
    let near = judge(&(start.to_owned() + &at(89_900, OOM) + LATER + next));
    assert_eq!(verdict(&near), (Some(Issue::OutOfMemory), Confidence::Possible));
    assert!(near.unknown.iter().any(|unknown| unknown.contains("why the kernel died")), "{:?}", near.unknown);
}

#[test]
fn a_boot_is_not_chosen_for_it_over_one_that_died() {
    let start = "[    0.000000] Linux version 6.1.0 (a@b) (gcc 12) #1 SMP x\n";
    let died = start.to_owned() + LATER + "[90001.000000] sysrq: Resetting\n";
    let found = judge(&(died + start + &at(4000, OOM) + LATER));
    assert_eq!(verdict(&found), (None, Confidence::Insufficient), "{}", found.verdict.summary);
}
