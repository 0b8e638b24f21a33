//! Pages of single dumps, beside the page of the pile.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use vmcore_triage::report::{dump_page, shown_rows};
use vmcore_triage::{Pile, Row, Store, now};

use crate::failure::Failure;
use crate::output::{check_file, write_file};

/// The directory of the pages of single dumps.
pub(super) struct Pages {
    directory: PathBuf,
    /// As the page of the pile names it.
    address: String,
    /// The page of the pile, as these name it.
    back: String,
    /// Whether pages that are there may be replaced.
    replace: bool,
}

impl Pages {
    /// In `directory`, which is made; `of_pile` is the page that links to them. With `replace`, those of the last report go.
    pub(super) fn new(directory: &Path, of_pile: &Path, replace: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(format_args!("cannot make {}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(failed)?;
        let full = directory.canonicalize().map_err(failed)?;
        let name = of_pile.file_name().unwrap_or_default();
        let parent = of_pile.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = parent.canonicalize().map_err(failed)?;
        // Together they can be moved or served; apart they are only for this machine.
        let (address, back) = match full.strip_prefix(&parent) {
            Ok(below) => (below.to_owned(), below.iter().map(|_| "..").collect::<PathBuf>().join(name)),
            Err(_) => (full.clone(), parent.join(name)),
        };
        Ok(Self { directory: full, address: as_address(&address), back: as_address(&back), replace })
    }

    fn file(row: &Row) -> String {
        format!("{}.html", row.key)
    }

    /// The address of a row's page.
    pub(super) fn link(&self, row: &Row) -> String {
        if self.address.is_empty() { Self::file(row) } else { format!("{}/{}", self.address, Self::file(row)) }
    }

    /// Writes a page for each row that the page of the pile shows.
    pub(super) fn write(&self, pile: &Pile, store: &Store) -> Result<(), Failure> {
        // Half a report is worse than none.
        for row in shown_rows(pile) {
            check_file(&self.directory.join(Self::file(row)), self.replace)?;
        }
        let mut written = BTreeSet::new();
        for row in shown_rows(pile).filter(|row| written.insert(&row.key)) {
            let document = store.document(&row.key, &row.tool)?;
            let page = dump_page(row, document.as_deref(), &self.back, now());
            let path = self.directory.join(Self::file(row));
            write_file(&path, self.replace, |out| out.write_all(page.as_bytes()), || ())?;
        }
        Ok(())
    }
}

/// A path as a browser takes it: what means something in an address is written as its number.
fn as_address(path: &Path) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~');
    percent_encode(path.as_os_str().as_encoded_bytes(), SET).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_nothing_in_them_that_means_something_else() {
        assert_eq!(as_address(Path::new("a b/c#d?e%\"<.html")), "a%20b/c%23d%3Fe%25%22%3C.html");
    }
}
