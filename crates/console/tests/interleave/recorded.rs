//! Logs with the callers that the kernel recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use vmcore_console::{Caller, split};

/// A line and who printed it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The time with its brackets.
    pub(crate) time: String,
    pub(crate) time_ns: u64,
    /// The CPU, for lines that were printed in an interrupt.
    pub(crate) cpu: Option<u32>,
    /// As in the file.
    pub(crate) whole: String,
    pub(crate) text: String,
}

/// A log.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) lines: Vec<Line>,
    /// The lines of each CPU.
    pub(crate) streams: BTreeMap<u32, Vec<Line>>,
}

/// Those of the tree and of `VMCORE_CONSOLE_LOGS`.
pub(crate) fn all() -> Vec<Recorded> {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs")];
    directories.extend(env::var_os("VMCORE_CONSOLE_LOGS").map(PathBuf::from));
    let files = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    let logs = paths.iter().map(|path| Recorded::read(path));
    let logs: Vec<_> = logs.filter(|log| !log.streams.is_empty()).collect();
    assert!(logs.len() >= 5, "only {} logs with callers", logs.len());
    logs
}

impl Recorded {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<Line> = text.lines().map(Line::parse).collect();
        let mut streams: BTreeMap<u32, Vec<Line>> = BTreeMap::new();
        for line in &lines {
            if let Some(cpu) = line.cpu {
                streams.entry(cpu).or_default().push(line.clone());
            }
        }
        // A single line by another CPU mixes nothing.
        streams.retain(|_, lines| lines.len() >= 20);
        Self { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), lines, streams }
    }
}

impl Line {
    fn parse(line: &str) -> Self {
        let (prefix, text) = split(line);
        let cpu = match prefix.caller {
            Some(Caller::Cpu(cpu)) => Some(cpu),
            _ => None,
        };
        let time = line.split_inclusive(']').next().unwrap_or_default().to_owned();
        let time_ns = prefix.timestamp_ns.unwrap_or_default();
        Self { time, time_ns, cpu, whole: line.to_owned(), text: text.to_owned() }
    }
}
