//! Stacks written by all threads, in their order.

use std::io::{self, Write};

use rayon::prelude::*;

use super::{Stack, Stacks};

/// Stacks that one thread writes at a time.
const PIECE: usize = 256;
/// Pieces for each thread that wait to be written.
const WAITING: usize = 4;
/// Stacks that wait to be written, however many threads there are.
const MAX_WAITING: usize = 8192;

/// Writes each stack by `each`, which has its number. What several threads have written waits in memory until it is its turn, a
/// few pieces at a time.
pub(super) fn write(
    stacks: Stacks<'_>,
    out: &mut dyn Write,
    each: impl Fn(usize, &Stack<'_>, &mut dyn Write) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let faults = stacks.faults;
    let stacks: Vec<_> = stacks.walked().enumerate().collect();
    let at_once = (rayon::current_num_threads().max(1) * WAITING * PIECE).min(MAX_WAITING);
    for some in stacks.chunks(at_once) {
        let pieces = some.par_chunks(PIECE).map(|piece| {
            let mut text = Vec::new();
            for &(number, (task, stack)) in piece {
                each(number, &Stack::new(task, stack, faults), &mut text)?;
            }
            Ok::<_, io::Error>(text)
        });
        for written in pieces.collect::<Vec<_>>() {
            out.write_all(&written?)?;
        }
    }
    Ok(())
}
