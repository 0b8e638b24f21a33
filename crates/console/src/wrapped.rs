//! Lines that a mailer or a narrow terminal broke in two.
//!
//! The second half has no time of its own. The two are one line if together they are a line of a report that the first
//! alone is not.

use crate::event::Kind;
use crate::prefix::Prefix;
use crate::token::Token;

/// How lines begin that are worth waiting for.
const STARTS: [&str; 18] = [
    "CPU: ",
    "Pid: ",
    "INFO: ",
    "BUG: ",
    "watchdog: ",
    "NMI watchdog: ",
    "rcu: INFO",
    "RIP: ",
    "IP: ",
    "Kernel panic",
    "WARNING: ",
    "Hardware name:",
    "Out of memory",
    "Memory cgroup out of memory",
    "smp: csd: ",
    "csd: ",
    "nfs: server ",
    "[<",
];
/// Longer lines are not put together.
const MAX_TEXT: usize = 1024;

/// A line that waits for its second half.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) prefix: Prefix,
    pub(crate) text: String,
    /// Whether the line fills a terminal's 80 columns: it may have been cut there, in the middle of a word.
    pub(crate) fills_terminal: bool,
}

impl Held {
    /// Whether more of the line may follow.
    pub(crate) fn may_go_on(&self) -> bool {
        let text = self.text.trim_start();
        let begins = STARTS.iter().any(|start| text.starts_with(start));
        begins && (self.fills_terminal || completeness(&Token::parse(&self.text)) < Completeness::Whole)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Completeness {
    Nothing,
    Part,
    Whole,
}

fn completeness(token: &Token) -> Completeness {
    let whole = match token {
        Token::Other | Token::Blank | Token::MoreModules => return Completeness::Nothing,
        Token::Event(event) => {
            let cut_oops = event.kind == Kind::Oops && event.text.trim_end().ends_with(" at");
            !(event.is_cut || event.kind == Kind::Panic && event.text.is_empty() || cut_oops)
        }
        Token::Cpu(line) => line.release.is_some(),
        Token::Rip(rip) => rip.location.symbol.is_some() || rip.is_user(),
        Token::Frame(entry) => entry.frame.location.symbol.is_some(),
        _ => true,
    };
    if whole { Completeness::Whole } else { Completeness::Part }
}

impl Held {
    /// Both halves, where they are one line.
    pub(crate) fn joined(&self, prefix: &Prefix, text: &str) -> Option<Self> {
        let has_own = prefix.timestamp_ns.is_some() || prefix.caller.is_some() || prefix.is_kernel;
        if has_own || text.trim().is_empty() || self.text.len() + text.len() > MAX_TEXT {
            return None;
        }
        // Without times nothing but its text says that a line is one.
        let is_timed = self.prefix.timestamp_ns.is_some();
        if !is_timed && completeness(&Token::parse(text)) > Completeness::Nothing {
            return None;
        }
        let first = self.text.trim_end();
        let glued = match first.strip_suffix('=') {
            Some(first) => Some(format!("{first}{text}")),
            None => self.fills_terminal.then(|| format!("{}{text}", self.text)),
        };
        let spaced = || format!("{first} {}", text.trim_start());
        // Who copied the lines may have lost the blank at which a terminal cut them.
        let glued =
            glued.filter(|glued| !self.fills_terminal || completeness(&Token::parse(glued)) == Completeness::Whole);
        let whole = glued.unwrap_or_else(spaced);
        let (before, after) = (completeness(&Token::parse(&self.text)), completeness(&Token::parse(&whole)));
        // Of a line that was cut in the middle of a word the first half may look whole.
        let is_more = after > before || self.fills_terminal && after == Completeness::Whole;
        is_more.then(|| Self { text: whole, fills_terminal: false, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Kind, Log};

    #[test]
    fn halves_are_put_together() {
        let log = Log::read(
            "Mar 19 13:20:10 host1 kernel: [ 5212.395178] BUG: soft lockup - CPU#3
stuck for 22s! [worker/3:412]
Mar 19 13:20:10 host1 kernel: [ 5212.395190] CPU: 3 PID: 412 Comm:
worker/3 Tainted: G           OE 3.16.0-31-generic #43-Ubuntu
Mar 19 13:20:10 host1 kernel: [ 5212.395195] RIP: 0010:[<ffffffff8116a2b8>]  [<ffffffff8116a2b8>]
zap_pte_range+0x68/0x1e0
"
            .as_bytes(),
        )
        .unwrap();
        let [lockup] = log.lockups()[..] else { panic!("{log:?}") };
        assert_eq!(
            (lockup.cpus.as_slice(), lockup.pid, lockup.comm.as_deref()),
            (&[3][..], Some(412), Some("worker/3"))
        );
        assert_eq!(lockup.function.as_ref().and_then(|at| at.symbol.as_deref()), Some("zap_pte_range"));
        assert_eq!(log.machine.release.as_deref(), Some("3.16.0-31-generic"));
    }

    #[test]
    fn a_terminal_cuts_in_the_middle_of_a_word() {
        let log = Log::read(
            "[  812.100000] watchdog: BUG: soft lockup - CPU#13 stuck for 22s! [kworker/u16:3
:4242]
[  812.100010] CPU: 13 PID: 4242 Comm: kworker/u16:3 Not tainted 6.1.0-18-cloud-
amd64 #1 Debian 6.1.76-1
"
            .as_bytes(),
        )
        .unwrap();
        let [lockup] = log.lockups()[..] else { panic!("{log:?}") };
        assert_eq!((lockup.pid, lockup.comm.as_deref()), (Some(4242), Some("kworker/u16:3")));
        assert_eq!(log.machine.release.as_deref(), Some("6.1.0-18-cloud-amd64"));
    }

    #[test]
    fn a_call_that_is_not_answered_in_two_lines() {
        let line = "smp: csd: Detected non-responsive CSD lock (#1) on CPU#3, waiting 5000000003 ns for CPU#07 f+0x0/0x40(0x0).";
        let time = "[  812.100000] ";
        let whole = format!("{time}{line}");
        let of = |at: usize| {
            let (first, second) = whole.split_at(at);
            format!("{}\n{}\n", first.trim_end(), second.trim_start())
        };
        let words = whole.match_indices(' ').map(|(at, _)| at).filter(|at| *at > 52);
        assert_eq!(whole.as_bytes()[80], b' ');
        for at in words {
            let log = Log::read(of(at).as_bytes()).unwrap();
            let [call] = &log.events[..] else { panic!("{at}: {log:?}") };
            assert_eq!(
                (call.event.kind, call.event.cpu(), call.event.seconds),
                (Kind::UnansweredCall, Some(7), Some(5)),
                "{at}"
            );
            assert!(!call.event.is_cut);
        }
        let later = whole.replace("[  812", "[1000812");
        let (first, second) = later.split_at(80);
        let log = Log::read(format!("{first}\n{second}\n").as_bytes()).unwrap();
        assert_eq!((log.events.len(), log.events[0].event.cpu()), (1, Some(7)), "in the middle of a word");
    }

    #[test]
    fn a_line_with_its_own_time_is_no_second_half() {
        let log =
            Log::read("[ 1.000000] BUG: soft lockup - CPU#3\n[ 1.000001] stuck for 22s! [a:1]\n".as_bytes()).unwrap();
        assert!(log.lockups().is_empty() && log.events.len() == 1);
    }
}
