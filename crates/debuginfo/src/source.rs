//! Source files, lines and inlined functions of code addresses.

use std::{collections::HashMap, collections::VecDeque, fmt, sync::Arc};

use rayon::prelude::*;
use vmcore_memory::VirtAddr;

use crate::dwarf::{Dwarf, Functions, Lines, Unit};

/// Units that a [`SourceLines`] keeps, at most. Stacks that are symbolized one after the other share few units, and
/// each takes some hundred KiB.
const MAX_UNITS: usize = 4;
/// Answers that a [`SourceLines`] keeps before it forgets them all.
const MAX_ANSWERS: usize = 1 << 16;

/// A function at an address: the one that the address is in, or one inlined there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// The function's name in the source, without compiler suffixes; `None` for assembly code outside of functions.
    pub function: Option<String>,
    /// The source file, from the top of the kernel tree where that can be told: `kernel/sched/core.c`.
    pub file: Option<String>,
    /// The line in `file`, from 1; `None` where the compiler gave none.
    pub line: Option<u32>,
}

/// Looks up source lines. Each thread should have its own: it keeps the units it read last and its answers.
pub struct SourceLines {
    dwarf: Arc<Dwarf>,
    /// The one used last comes first.
    units: VecDeque<LoadedUnit>,
    answers: HashMap<u64, Vec<SourceFrame>>,
}

struct LoadedUnit {
    unit: Unit,
    functions: Functions,
    lines: Lines,
}

impl SourceLines {
    pub(crate) fn new(dwarf: Arc<Dwarf>) -> Self {
        Self { dwarf, units: VecDeque::new(), answers: HashMap::new() }
    }

    /// The functions at the link-time address `address`, the innermost inlined one first; the last is the function
    /// that really is there. Empty where the debug information has nothing about the address.
    ///
    /// Give the address of an instruction: for a return address that of the call before it, so subtract 1.
    pub fn frames(&mut self, address: VirtAddr) -> Vec<SourceFrame> {
        if let Some(frames) = self.answers.get(&address.get()) {
            return frames.clone();
        }
        let frames = self.look_up(address.get()).unwrap_or_default();
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(address.get(), frames.clone());
        frames
    }

    fn look_up(&mut self, address: u64) -> Option<Vec<SourceFrame>> {
        let offset = self.dwarf.unit_at(address)?;
        match self.units.iter().position(|loaded| loaded.unit.offset == offset) {
            Some(at) => {
                let loaded = self.units.remove(at)?;
                self.units.push_front(loaded);
            }
            None => {
                self.units.truncate(MAX_UNITS - 1);
                self.units.push_front(LoadedUnit::read(&self.dwarf, offset)?);
            }
        }
        Some(self.units.front_mut()?.frames(&self.dwarf, address))
    }
}

impl fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLines").field("answers", &self.answers.len()).finish_non_exhaustive()
    }
}

impl LoadedUnit {
    fn read(dwarf: &Dwarf, offset: u64) -> Option<Self> {
        let unit = dwarf.unit(offset)?;
        let functions = Functions::read(dwarf, &unit);
        let lines = Lines::read(dwarf, &unit);
        Some(Self { unit, functions, lines })
    }

    fn frames(&mut self, dwarf: &Dwarf, address: u64) -> Vec<SourceFrame> {
        let calls = self.functions.calls(dwarf, &self.unit, address);
        let mut place = self.lines.find(address);
        if calls.is_empty() {
            // Assembly code outside of functions still has lines.
            return place.map(|place| self.frame(dwarf, None, Some(place))).into_iter().collect();
        }
        let mut frames = Vec::with_capacity(calls.len());
        for call in calls.into_iter().rev() {
            frames.push(self.frame(dwarf, call.name, place));
            place = call.called_from;
        }
        frames
    }

    fn frame(&mut self, dwarf: &Dwarf, function: Option<String>, place: Option<(u64, u64)>) -> SourceFrame {
        let (file, line) = place.unzip();
        SourceFrame {
            function,
            file: file.and_then(|file| self.lines.path(dwarf, &self.unit, file)),
            line: line.and_then(|line| u32::try_from(line).ok()).filter(|&line| line != 0),
        }
    }
}

/// [`SourceLines::frames`] for many addresses, in their order: each unit is read once, by whichever thread is free.
pub(crate) fn all_frames(dwarf: &Arc<Dwarf>, addresses: &[VirtAddr]) -> Vec<Vec<SourceFrame>> {
    let mut sorted: Vec<(u64, u64)> =
        addresses.iter().filter_map(|address| Some((dwarf.unit_at(address.get())?, address.get()))).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let units: Vec<&[(u64, u64)]> = sorted.chunk_by(|a, b| a.0 == b.0).collect();
    let answers: HashMap<u64, Vec<SourceFrame>> = units
        .into_par_iter()
        .flat_map_iter(|unit| {
            let mut loaded = unit.first().and_then(|&(offset, _)| LoadedUnit::read(dwarf, offset));
            let frames = move |&(_, address): &(u64, u64)| Some((address, loaded.as_mut()?.frames(dwarf, address)));
            unit.iter().filter_map(frames)
        })
        .collect();
    addresses.iter().map(|address| answers.get(&address.get()).cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, TEXT};

    const CORE: &str = "kernel/sched/core.c";
    const HEADER: &str = "include/linux/sched.h";

    type Frame = (&'static str, &'static str, u32);

    /// Frames by offset in `.text`; line 0 stands for none.
    fn expected() -> Vec<(u64, Vec<Frame>)> {
        vec![
            (0x0ff, vec![]),
            (0x100, vec![("schedule", CORE, 10)]),
            (0x112, vec![("schedule", CORE, 10)]),
            (0x120, vec![("schedule_debug", HEADER, 5), ("schedule", CORE, 20)]),
            // Two rows for this address: the last one counts.
            (0x124, vec![("check", HEADER, 8), ("schedule_debug", HEADER, 30), ("schedule", CORE, 20)]),
            // Line 0: the compiler could not say.
            (0x128, vec![("schedule_debug", CORE, 0), ("schedule", CORE, 20)]),
            (0x130, vec![("schedule", CORE, 0)]),
            (0x14f, vec![("schedule_debug", CORE, 0), ("schedule", CORE, 20)]),
            (0x180, vec![]),
            (0x20f, vec![("wait", CORE, 40)]),
            (0x23f, vec![("wait", CORE, 41)]),
            (0x805, vec![("wait", CORE, 50)]),
            (0x810, vec![]),
        ]
    }

    fn frame(&(function, file, line): &Frame) -> SourceFrame {
        let line = Some(line).filter(|&line| line != 0);
        SourceFrame { function: Some(function.into()), file: Some(file.into()), line }
    }

    #[test]
    fn inlined_calls_and_cold_parts_in_both_versions_with_and_without_a_directory() {
        for (version, aranges) in [(4, true), (4, false), (5, true), (5, false)] {
            let vmlinux = Fixture::with_dwarf(version, aranges).open();
            let mut lines = vmlinux.source().unwrap();
            for (offset, frames) in expected() {
                let frames: Vec<SourceFrame> = frames.iter().map(frame).collect();
                let address = VirtAddr::new(TEXT + offset);
                assert_eq!(lines.frames(address), frames, "DWARF {version} {offset:#x}");
                assert_eq!(lines.frames(address), frames, "the same when asked again");
            }
        }
    }

    #[test]
    fn many_at_once_are_answered_in_order() {
        let vmlinux = Fixture::with_dwarf(5, true).open();
        let mut lines = vmlinux.source().unwrap();
        let addresses: Vec<_> = [0x805, 0x124, 0x100, 0x124, 0xfff].map(|offset| VirtAddr::new(TEXT + offset)).into();
        let one_by_one: Vec<_> = addresses.iter().map(|&address| lines.frames(address)).collect();
        assert_eq!(vmlinux.source_frames(&addresses), one_by_one);
    }

    #[test]
    fn a_reader_can_move_to_another_thread() {
        const fn is_send<T: Send>() {}
        const fn is_shared<T: Send + Sync>() {}
        is_send::<SourceLines>();
        is_shared::<crate::Vmlinux>();
        is_shared::<crate::Types>();
    }
}
