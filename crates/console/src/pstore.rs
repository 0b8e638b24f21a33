//! Logs that firmware kept over a reset: in parts of a few KiB, of which the first has the last lines.
//!
//! ```text
//! Panic#2 Part1
//! <6>[  101.000000] …
//! ```
//!
//! Source: `fs/pstore/platform.c`, `pstore_dump()`.

/// More bytes than any firmware keeps.
const MAX_BYTES: usize = 8 << 20;

/// The parts so far.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    parts: Vec<(u32, Vec<Vec<u8>>)>,
    bytes: usize,
}

/// Whether a part begins with this line.
pub(crate) fn is_header(line: &[u8]) -> bool {
    part(line).is_some()
}

fn part(line: &[u8]) -> Option<u32> {
    const REASONS: [&str; 6] = ["Panic", "Oops", "Emergency", "Shutdown", "Unknown", "Restart"];
    if line.len() > 40 || memchr::memchr(b'#', line).is_none() {
        return None;
    }
    let (reason, rest) = std::str::from_utf8(line).ok()?.trim_end().split_once('#')?;
    let (count, part) = rest.split_once(" Part")?;
    count.parse::<u32>().ok()?;
    REASONS.contains(&reason).then(|| part.parse().ok()).flatten()
}

impl Parts {
    pub(crate) const fn is_open(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Keeps a line. What is kept comes back when it becomes too much.
    pub(crate) fn line(&mut self, line: &[u8]) -> Option<Vec<Vec<u8>>> {
        if let Some(number) = part(line) {
            self.parts.push((number, Vec::new()));
            return None;
        }
        self.bytes = self.bytes.saturating_add(line.len() + 1);
        if let Some((_, lines)) = self.parts.last_mut() {
            lines.push(line.to_vec());
        }
        (self.bytes > MAX_BYTES).then(|| self.finish())
    }

    /// All lines in the order in which they were printed.
    pub(crate) fn finish(&mut self) -> Vec<Vec<u8>> {
        let mut parts = std::mem::take(&mut self.parts);
        self.bytes = 0;
        parts.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        parts.into_iter().flat_map(|(_, lines)| lines).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Log;

    #[test]
    fn the_first_part_has_the_last_lines() {
        let text = "Panic#2 Part1\n<0>[  101.000000] Kernel panic - not syncing: softlockup: hung tasks\nPanic#2 Part2\n\
            <0>[  100.000000] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [a:1]\n";
        let log = Log::read(text.as_bytes()).unwrap();
        let times: Vec<_> = log.events.iter().map(|known| known.timestamp_ns).collect();
        assert_eq!(times, [Some(100_000_000_000), Some(101_000_000_000)]);
    }
}
