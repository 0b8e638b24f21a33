//! Logs of real machines whose CPUs reported at the same time, in the order that they have and in others: without names they
//! say the same, and none of their addresses is left.

#[path = "../support/log_address.rs"]
mod log_address;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use vmcore_console::{Caller, Log, Record, split};
use vmcore_diagnose::from_log;
use vmcore_reduce::anonymize;
use vmcore_synth::scenario::{LogLine, LoggedAt, Scenario};

const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/console/tests/logs");

fn read(name: &str) -> Vec<LogLine> {
    let text = fs::read_to_string(format!("{LOGS}/{name}")).unwrap();
    let line = |line: &str| {
        let (prefix, text) = split(line);
        let (cpu, pid) = match prefix.caller {
            Some(Caller::Cpu(cpu)) => (Some(cpu), None),
            Some(Caller::Task(pid)) => (None, Some(pid)),
            None => (None, None),
        };
        LogLine::At(LoggedAt { at: None, cpu, pid, text: text.to_owned() })
    };
    text.lines().map(line).collect()
}

/// `xorshift64` (Marsaglia: Xorshift RNGs, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 20) % bound).unwrap()
    }
}

/// The same lines, some of one CPU and then some of another.
fn mixed(lines: &[LogLine], seed: u64) -> Vec<LogLine> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let most = 2 * (1 + random.below(12) as u64);
    let mut streams: BTreeMap<Option<u32>, Vec<LogLine>> = BTreeMap::new();
    for line in lines {
        let LogLine::At(at) = line else { continue };
        streams.entry(at.cpu).or_default().push(line.clone());
    }
    let mut streams: Vec<_> = streams.into_values().map(Vec::into_iter).collect();
    let mut mixed = Vec::new();
    while mixed.len() < lines.len() {
        let next = random.below(streams.len() as u64);
        mixed.extend(streams[next].by_ref().take(1 + random.below(most)));
    }
    mixed
}

fn verdict(lines: &[LogLine]) -> String {
    let caller = |line: &LogLine| match line {
        LogLine::At(line) => line.cpu.map(Caller::Cpu).or(line.pid.map(Caller::Task)),
        LogLine::Text(_) => None,
    };
    let records = lines.iter().map(|line| Record { timestamp_ns: None, caller: caller(line), text: line.text() });
    let verdict = from_log(&Log::of_records(records)).verdict;
    format!("{:?} {:?}", verdict.issue, verdict.confidence)
}

fn addresses(lines: &[LogLine]) -> BTreeSet<String> {
    let words = lines.iter().flat_map(|line| line.text().split(|letter: char| !letter.is_ascii_alphanumeric()));
    words.filter(|word| log_address::is_address(word)).map(str::to_owned).collect()
}

fn check(name: &str, lines: Vec<LogLine>) {
    let mut scenario = Scenario::parse("cpus = 4\nuptime = 60.0\n[expect]\nissue = \"none\"\n").unwrap();
    let (expected, before) = (verdict(&lines), addresses(&lines));
    assert!(!before.is_empty(), "{name} has no addresses");
    scenario.log = lines;
    let anonymous = anonymize(scenario).log;
    assert_eq!(verdict(&anonymous), expected, "of {name}");
    let left: Vec<_> = addresses(&anonymous).intersection(&before).cloned().collect();
    assert!(left.is_empty(), "{left:?} of {name} are left in\n{anonymous:#?}");
}

#[test]
fn logs_as_they_were() {
    for name in ["6.1-thp-livelock-kdump.log", "6.12-thp-livelock-snapshot.log", "alibaba-4.19.91-19.1.al7.log"] {
        check(name, read(name));
    }
}

/// In each of these orders the addresses stayed that the reports were put together by.
#[test]
fn logs_whose_cpus_print_at_random() {
    const ORDERS: [(&str, [u64; 2]); 3] = [
        ("6.1-thp-livelock-kdump.log", [0, 4]),
        ("6.1-thp-livelock-stuck-snapshot.log", [1, 5]),
        ("6.1-thp-livelock-kdump-flat.log", [12, 28]),
    ];
    for (name, seeds) in ORDERS {
        for seed in seeds {
            check(&format!("{name}, order {seed}"), mixed(&read(name), seed));
        }
    }
}
