//! The reports of a log that has more of them than are kept: of those behind the first, the latest.
//!
//! Which they are shows only when the log is over, so they wait, and what will not be kept costs no more than its lines.

use std::collections::VecDeque;

use crate::attribution::Line;
use crate::token::Token;

/// Lines of these reports.
const MAX_LINES: usize = 64 << 10;

/// Episodes that have not been put together.
#[derive(Default)]
pub(crate) struct Later {
    episodes: VecDeque<Vec<Line>>,
    lines: usize,
    /// Reports of the episodes that were passed over.
    pub(crate) passed_over: u64,
}

impl Later {
    /// Adds the latest episode.
    pub(crate) fn push(&mut self, episode: Vec<Line>) {
        self.lines += episode.len();
        self.episodes.push_back(episode);
        while self.lines > MAX_LINES && self.episodes.len() > 1 {
            let Some(oldest) = self.episodes.pop_front() else { return };
            self.lines -= oldest.len();
            // One without a beginning is the rest of a report.
            let begun = oldest.iter().filter(|line| matches!(line.token, Token::Event(_)));
            self.passed_over += begun.map(|_| 1u64).sum::<u64>().max(1);
        }
    }

    /// The episodes, each with how many lines are in it and in those behind it.
    pub(crate) fn take(&mut self) -> Vec<(usize, Vec<Line>)> {
        let mut left = std::mem::take(&mut self.lines);
        let episodes = std::mem::take(&mut self.episodes).into_iter();
        let counted = episodes.map(|episode| {
            let from_here = left;
            left -= episode.len();
            (from_here, episode)
        });
        counted.collect()
    }
}
