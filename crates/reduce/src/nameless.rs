//! The lines of a log without names, and with other addresses.

use std::collections::BTreeMap;

use vmcore_synth::scenario::LogLine;

use crate::log::{Reported, reported, without_idle_lines};
use crate::moved_addresses::Places;
use crate::words::{SHORTEST_ADDRESS, is_word, pieces};

/// The same reports without any word that they do not need; `comms` are new names of tasks, and `place` knows the new places of
/// user addresses.
pub(crate) fn without_names(
    lines: Vec<LogLine>,
    comms: &BTreeMap<String, String>,
    place: impl FnMut(u64) -> u64,
) -> Vec<LogLine> {
    let lines = without_idle_lines(lines);
    let wanted = reported(&lines);
    let mut lines = with_other_addresses(lines, &wanted, place);
    for index in 0..lines.len() {
        let mut pieces = lines.get(index).map(|line| pieces(line.text())).unwrap_or_default();
        for at in 0..pieces.len() {
            let Some(old) = pieces.get(at).filter(|piece| is_word(piece)).cloned() else { continue };
            let new = comms.get(&old).cloned().unwrap_or_else(|| placeholder(&old));
            for word in [new, old] {
                set(&mut pieces, at, &word);
                if let Some(line) = lines.get_mut(index) {
                    set_text(line, pieces.concat());
                }
                if reported(&lines) == wanted {
                    break;
                }
            }
        }
    }
    lines
}

/// All at once where that changes nothing: what a verdict may rest on is that two of them are in one page. Else those of one
/// address space, and each by itself, so that only those stay which the reports need as they are.
fn with_other_addresses(mut lines: Vec<LogLine>, wanted: &Reported, place: impl FnMut(u64) -> u64) -> Vec<LogLine> {
    let places = Places::of(&lines, place);
    let attempt = |lines: &[LogLine], places: &Places| {
        let mut moved = lines.to_vec();
        for line in &mut moved {
            let text = places.moved(line.text());
            set_text(line, text);
        }
        (moved != lines && reported(&moved) == *wanted).then_some(moved)
    };
    if let Some(moved) = attempt(&lines, &places) {
        return moved;
    }
    for part in places.parts() {
        if let Some(moved) = attempt(&lines, &part) {
            lines = moved;
        }
    }
    lines
}

fn set(pieces: &mut [String], at: usize, text: &str) {
    if let Some(piece) = pieces.get_mut(at) {
        text.clone_into(piece);
    }
}

fn set_text(line: &mut LogLine, text: String) {
    match line {
        LogLine::Text(old) => *old = text,
        LogLine::At(line) => line.text = text,
    }
}

/// A number stays one, as far as it can be told, and a register's value as long as it is.
fn placeholder(word: &str) -> String {
    if word.len() >= SHORTEST_ADDRESS && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        "0".repeat(word.len())
    } else if word.bytes().all(|byte| byte.is_ascii_digit()) {
        "0".to_owned()
    } else {
        "x".to_owned()
    }
}
