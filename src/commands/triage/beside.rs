//! `--beside`: what was found of a dump or log, in the directory where it lies.

use std::io::Write;
use std::path::PathBuf;

use vmcore_diagnose::release_has_bug;
use vmcore_remote::is_address;
use vmcore_report::Theme;
use vmcore_triage::report::{Record, write_text};
use vmcore_triage::{Extent, Item, Outcome, Pile, Store};

use crate::failure::Failure;
use crate::output::write_file;

/// Writes the two files beside an item, one of `items`. Of a content that was judged before, they are there unless the copy is new;
/// of one that is not there, there is nothing to say where it would lie.
pub(super) fn write(items: &[Item], item: &Item, outcome: &Outcome, store: &Store) -> Result<(), Failure> {
    let Some(directory) = item.path.parent().filter(|_| !is_address(&item.path) && !outcome.row.is_missing()) else {
        return Ok(());
    };
    // Where one directory has several dumps, each has its own.
    let alone = items.iter().filter(|other| other.path.parent() == Some(directory)).count() == 1;
    let name = |kind: &str| -> PathBuf {
        match item.path.file_name().filter(|_| !alone) {
            Some(own) => directory.join(format!("{}.verdict.{kind}", own.to_string_lossy())),
            None => directory.join(format!("verdict.{kind}")),
        }
    };
    let (text_file, json_file) = (name("txt"), name("json"));
    if !outcome.of_this_run && text_file.exists() && json_file.exists() {
        return Ok(());
    }
    let (row, document) = outcome.of_copy(item, store)?;
    let pile = Pile::of(vec![row.clone()], &release_has_bug, Extent::GROUPS);
    write_file(&text_file, true, |out: &mut dyn Write| write_text(&pile, out, &Theme::plain()), || ())?;
    let json = |out: &mut dyn Write| match &document {
        Some(document) => out.write_all(document.as_bytes()),
        None => Record::of(&row).write_line(out),
    };
    write_file(&json_file, true, json, || ())
}
