//! The report of a log: the console log of the incident, in which CPUs report at the same time.

use vmcore_console as console;
use vmcore_diagnose::from_log;
use vmcore_report::Report;
use vmcore_report::log::Log;

use crate::{json, text};

const INCIDENT: &str = include_str!("../../../console/tests/logs/alibaba-4.19.91-19.1.al7.log");

fn with_report(log: &str, check: impl FnOnce(&Log<'_>)) {
    let log = console::Log::read(log.as_bytes()).unwrap();
    let found = from_log(&log);
    check(&Log::new("console.log".to_owned(), &log, &found));
}

#[test]
fn incident() {
    with_report(INCIDENT, |report| {
        insta::assert_snapshot!("log_incident_text", text(report));
        insta::assert_snapshot!("log_incident_json", json(report));
    });
}

#[test]
fn what_the_incidents_log_says() {
    with_report(INCIDENT, |report| {
        assert_eq!(report.kernel.release, Some("4.19.91-19.1.al7.x86_64"));
        let panic = report.panic.as_ref().unwrap();
        assert_eq!((panic.cpu, panic.pid, panic.message), (Some(6), Some(28355), "softlockup: hung tasks"));
        let [lockup] = report.lockups.as_slice() else { panic!("{:?}", report.lockups) };
        assert_eq!((lockup.cpu, lockup.seconds, lockup.comm, lockup.pid), (7, 11, "split_v2", 28356));
        let named: Vec<_> = report.cpus.iter().filter_map(|report| Some((report.cpu?, report.pid?))).collect();
        for cpu in [(7, 28356), (3, 28336), (6, 28355)] {
            assert!(named.contains(&cpu), "{cpu:?} in {named:?}");
        }
        // Every copy in it writes to the same address; of one the log lacks the line that names the function.
        assert_eq!(report.copies.len(), 3);
        assert_eq!(report.kernel.taint, Some("GL"));
        assert_eq!(
            report.kernel.modules.map(|modules| modules.join(" ")).as_deref(),
            Some("mousedev isst_if_common hid_generic usbhid")
        );
        assert!(report.copies.iter().all(|copy| copy.address.0 == 0xc0_0010_0000), "{:?}", report.copies);
        assert_eq!(
            (report.verdict.issue, report.verdict.confidence),
            (Some("thp-split-page-fault-livelock"), "probable")
        );
        let commands: Vec<_> = report.remedy.iter().filter_map(|remedy| remedy.command).collect();
        assert!(commands.contains(&"yum install -y kernel-hotfix-5902278-19.1.al7.x86_64"), "{commands:?}");
    });
}

/// Those that are only locked up softly are its victims.
#[test]
fn who_takes_no_interrupts_comes_first() {
    let log = "[  902.000338] watchdog: BUG: soft lockup - CPU#8 stuck for 22s! [app:332]
[  902.000340] CPU: 8 PID: 332 Comm: app Not tainted 5.15.0-91-generic #1
[  902.000341] RIP: 0010:smp_call_function_many_cond+0x130/0x340
[  904.000716] NMI watchdog: Watchdog detected hard LOCKUP on cpu 2
[  904.000736] CPU: 2 PID: 77 Comm: kworker/2:0 Not tainted 5.15.0-91-generic #1
[  904.000756] RIP: 0010:_raw_spin_lock_irqsave+0xd/0x40
[  904.100716] NMI watchdog: Watchdog detected hard LOCKUP on cpu 3
";
    with_report(log, |report| {
        let text = text(report);
        let who: Vec<_> = text.lines().skip_while(|line| *line != "Who").skip(1).take(3).collect();
        assert_eq!(
            who,
            [
                "  no irqs CPU 2    pid 77       \"kworker/2:0\" in _raw_spin_lock_irqsave",
                "  no irqs CPU 3    pid ?        ?",
                "  stuck   CPU 8    pid 332      \"app\"         for 22 s",
            ],
            "{text}"
        );
        let page = report.page().unwrap();
        let (_, from_hard) = page.split_once("takes no interrupts in").unwrap();
        let (hard, _) = from_hard.split_once("locked up for").unwrap();
        assert!(hard.contains("_raw_spin_lock_irqsave"), "{page}");
    });
}

#[test]
fn names_in_a_log_are_untrusted() {
    let log = "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [\u{202e}x:1]\n\
               CPU: 0 PID: 1 Comm: \u{202e}x Not tainted 6.1.0\u{202e} #1\nCall Trace:\n f+0x1/0x2\n";
    with_report(log, |report| {
        let text = text(report);
        assert!(text.contains("\\u{202e}x") && !text.contains('\u{202e}'), "{text}");
    });
}
