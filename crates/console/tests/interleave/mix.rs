//! The lines of several CPUs in a random order that keeps each CPU's own.

use std::collections::BTreeMap;

use crate::recorded::Line;

/// `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A mixed log.
pub(crate) struct Mix {
    pub(crate) cpus: Vec<u32>,
    pub(crate) lines: Vec<Line>,
}

impl Mix {
    /// The streams of `count` CPUs of one log, chosen at random; each prints about `burst` lines in a row. The times are
    /// those of the mixed log, as if all had shared a clock.
    pub(crate) fn new(streams: &BTreeMap<u32, Vec<Line>>, count: usize, burst: u64, random: &mut Random) -> Self {
        let mut cpus: Vec<u32> = streams.keys().copied().collect();
        while cpus.len() > count {
            let out = random.below(cpus.len() as u64);
            cpus.remove(out as usize);
        }
        let mut chosen: Vec<_> = cpus.iter().map(|cpu| streams[cpu].clone().into_iter()).collect();
        let mut lines = Vec::new();
        while chosen.iter().any(|stream| stream.len() > 0) {
            let next = random.below(chosen.len() as u64) as usize;
            let length = 1 + random.below(2 * burst - 1);
            lines.extend(chosen[next].by_ref().take(length as usize));
        }
        retime(&mut lines, random);
        Self { cpus, lines }
    }
}

fn retime(lines: &mut [Line], random: &mut Random) {
    let mut now_us = 14_000_000;
    for line in lines {
        now_us += random.below(12);
        line.time_ns = now_us * 1000;
        line.time = format!("[{:5}.{:06}]", now_us / 1_000_000, now_us % 1_000_000);
    }
}
