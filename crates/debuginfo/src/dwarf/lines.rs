//! The line program of a unit, run once: which source line each instruction came from.
//!
//! The program emits rows (address, file number, line) whose addresses ascend in each sequence. A row holds up to the
//! next one; the last row of a sequence only marks its end.

use std::collections::HashMap;

use gimli::{DebugLine, DebugLineOffset, IncompleteLineProgram, LittleEndian};

use super::{
    Dwarf, Slice, Unit,
    section::{self, Section},
    source_path::shorten,
};

/// The most rows that are kept of one unit. The largest kernel units have some 100 000.
const MAX_ROWS: usize = 1 << 22;

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    /// 0 where the compiler could not say.
    line: u32,
}

/// Rows from the first to the one before `end_row`, for the addresses from `start` to the one before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sequence {
    start: u64,
    end: u64,
    first_row: usize,
    end_row: usize,
}

/// The lines of a unit.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The line program with its header, which has the file table.
    program: Vec<u8>,
    rows: Vec<Row>,
    /// Sorted by start.
    sequences: Vec<Sequence>,
    /// Paths that were asked for, by file number.
    paths: HashMap<u64, Option<String>>,
}

impl Lines {
    /// Runs the line program of `unit`; without rows where it has none or it is damaged from the start.
    pub(crate) fn read(dwarf: &Dwarf, unit: &Unit) -> Self {
        let mut lines = Self::default();
        let piece = unit.bases.line_program.and_then(|offset| read_program(&dwarf.line, offset));
        if let Some(program) = piece {
            lines.run(&program, unit);
            lines.program = program;
        }
        lines
    }

    /// The file number and the line of the instruction at `address`; line 0 where the compiler gave none.
    pub(crate) fn find(&self, address: u64) -> Option<(u64, u64)> {
        let after = self.sequences.partition_point(|sequence| sequence.start <= address);
        let before = self.sequences.get(..after)?.iter().rev();
        let sequence = before.take(4).find(|sequence| address < sequence.end)?;
        let rows = self.rows.get(sequence.first_row..sequence.end_row)?;
        let row = rows.get(rows.partition_point(|row| row.address <= address).checked_sub(1)?)?;
        Some((row.file.into(), row.line.into()))
    }

    /// The path of a file of the unit.
    pub(crate) fn path(&mut self, dwarf: &Dwarf, unit: &Unit, file: u64) -> Option<String> {
        let program = &self.program;
        self.paths.entry(file).or_insert_with(|| path(dwarf, unit, program, file)).clone()
    }

    fn run(&mut self, program: &[u8], unit: &Unit) {
        let Some(program) = parse(program, unit) else { return };
        let mut rows = program.rows();
        let mut first_row = 0;
        // Damage ends the program; the sequences before it are good.
        while let Ok(Some((_, row))) = rows.next_row() {
            if row.end_sequence() {
                let start = self.rows.get(first_row).map(|row| row.address);
                // Code that the linker dropped is described at address 0.
                if let Some(start) = start.filter(|&start| start != 0 && start < row.address()) {
                    let end_row = self.rows.len();
                    self.sequences.push(Sequence { start, end: row.address(), first_row, end_row });
                } else {
                    self.rows.truncate(first_row);
                }
                first_row = self.rows.len();
                continue;
            }
            let file = u32::try_from(row.file_index()).unwrap_or(u32::MAX);
            let line = row.line().and_then(|line| u32::try_from(line.get()).ok()).unwrap_or(0);
            let row = Row { address: row.address(), file, line };
            let full = self.rows.len() == MAX_ROWS;
            match self.rows.get_mut(first_row..).and_then(<[Row]>::last_mut) {
                // Of several rows for one instruction the last one counts.
                Some(last) if last.address == row.address => *last = row,
                _ if full => break,
                _ => self.rows.push(row),
            }
        }
        self.sequences.sort_unstable();
    }
}

fn read_program(section: &Section, offset: u64) -> Option<Vec<u8>> {
    section.read(offset, section::piece_len(section, offset)?)
}

fn parse<'program>(program: &'program [u8], unit: &Unit) -> Option<IncompleteLineProgram<Slice<'program>>> {
    let address_size = unit.encoding().address_size;
    DebugLine::new(program, LittleEndian).program(DebugLineOffset(0), address_size, None, None).ok()
}

fn path(dwarf: &Dwarf, unit: &Unit, program: &[u8], file: u64) -> Option<String> {
    let program = parse(program, unit)?;
    let header = program.header();
    let entry = header.file(file)?;
    let directory = entry.directory(header).and_then(|directory| dwarf.string(&unit.bases, &directory));
    let name = dwarf.string(&unit.bases, &entry.path_name())?;
    let built_in = unit.bases.compilation_directory.as_deref().unwrap_or_default();
    Some(shorten(built_in, directory.as_deref().unwrap_or_default(), &name))
}
