//! `docs/forms.md`: every form, written here from one real dump and opened again.
//!
//! A form is right where every page and, if it has room for them, every note is that of the dump it was made of. Other
//! forms have to be refused by their name, with what to do.

mod packed;
mod refused;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr, ReadPhysical};

use crate::{Dump, OpenError, RawNote};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/forms.md");
const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/6.1-cloud-amd64/thp-livelock.vmcore");

/// What a dump holds.
struct Machine {
    notes: Vec<RawNote>,
    /// Pages by their frames.
    pages: BTreeMap<u64, Vec<u8>>,
    /// The file itself: an ELF core.
    elf: Vec<u8>,
}

impl Machine {
    fn real() -> Self {
        let dump = Dump::open(Path::new(DUMP)).unwrap();
        let frames = dump.segments().iter().flat_map(|segment| {
            let first = segment.physical.pfn().get();
            first..first + segment.file_size / PAGE_SIZE
        });
        let pages: BTreeMap<_, _> = frames.map(|frame| (frame, dump.stored_page(Pfn::new(frame)).unwrap())).collect();
        assert!(pages.len() > 400);
        Self { notes: dump.raw_notes().to_vec(), pages, elf: std::fs::read(DUMP).unwrap() }
    }

    /// Whether the dump has these pages, no others, and these notes if it has room for notes.
    #[track_caller]
    fn assert_is(&self, dump: &Dump, form: &Form) {
        let name = form.name;
        assert_eq!(dump.incomplete(), None, "{name}");
        for (frame, page) in &self.pages {
            let mut found = vec![0; PAGE_SIZE as usize];
            dump.read_physical(PhysAddr::new(frame * PAGE_SIZE), &mut found)
                .unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(found == *page, "{name}: page {frame:#x} differs");
        }
        if form.keeps.pages {
            assert_eq!(dump.page_count().present, self.pages.len() as u64, "{name}");
        }
        if form.keeps.notes {
            assert!(dump.raw_notes() == self.notes, "{name}: the notes differ");
            assert_eq!(dump.prstatus().len(), 4, "{name}");
        }
    }
}

/// What of a dump a form has room for.
#[derive(Clone, Copy)]
struct Keeps {
    /// Which pages there are.
    pages: bool,
    notes: bool,
}

const ALL: Keeps = Keeps { pages: true, notes: true };
const MEMORY: Keeps = Keeps { pages: true, notes: false };

/// A form, and the files of a dump in it.
struct Form {
    name: &'static str,
    writer: &'static str,
    keeps: Keeps,
    files: Vec<PathBuf>,
}

/// Writes forms into a directory.
struct Shelf {
    directory: tempfile::TempDir,
    forms: Vec<Form>,
}

impl Shelf {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), forms: Vec::new() }
    }

    fn add(&mut self, name: &'static str, writer: &'static str, keeps: Keeps, files: &[Vec<u8>]) {
        let index = self.forms.len();
        let write = |(part, bytes): (usize, &Vec<u8>)| {
            let path = self.directory.path().join(format!("{index}.{part}"));
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let files = files.iter().enumerate().map(write).collect();
        self.forms.push(Form { name, writer, keeps, files });
    }

    fn open(form: &Form) -> Result<Dump, OpenError> {
        let (first, others) = form.files.split_first().unwrap();
        Dump::open_parts(first, others)
    }
}

/// The lines of the guide's table, each made by a form that was opened just now.
fn lines() -> Vec<String> {
    let machine = Machine::real();
    let mut shelf = Shelf::new();
    written::add(&machine, &mut shelf);
    packed::add(&machine, &mut shelf);
    let mut lines = Vec::new();
    for form in &shelf.forms {
        let dump = Shelf::open(form).unwrap_or_else(|why| panic!("{}: {why}", form.name));
        machine.assert_is(&dump, form);
        let without = if form.keeps.notes { "" } else { ", without registers and notes" };
        lines.push(format!("| {} | {} | read{without} |", form.name, form.writer));
    }
    let mut shelf = Shelf::new();
    refused::add(&machine, &mut shelf);
    for form in &shelf.forms {
        let Err(error) = Shelf::open(form) else { panic!("{} was opened", form.name) };
        let path = form.files[0].display().to_string();
        let message =
            error.to_string().replace(&format!("{path} "), "").replace("is not a dump that can be read: ", "");
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        assert!(!message.contains(&path), "{message}");
        lines.push(format!("| {} | {} | {message}{hint} |", form.name, form.writer));
    }
    lines.into_iter().map(|line| line.replace("||", "| |")).collect()
}

#[test]
fn the_guide_has_every_form_with_what_becomes_of_it() {
    let lines = lines();
    let guide = std::fs::read_to_string(GUIDE).unwrap_or_default();
    let there: Vec<_> = guide.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| form")).collect();
    assert!(lines == there, "the table of docs/forms.md must be:\n{}", lines.join("\n"));
}
