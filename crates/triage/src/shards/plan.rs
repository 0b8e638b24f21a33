//! The plan: what there is to judge, written once so that everybody who does a share means the same.
//!
//! ```text
//! {"plan":1}
//! {"key":"…","path":"…","kind":"dump","parts":[…],"vmlinux":…,"log":…,"size":…,"changed":…,"kernel":…}
//! ```
//! `kernel` is what the header of a dump calls it: only kdump-compressed ones on a disk have it there.
//! A path that is no text is an array of its bytes. The key is of the paths, not of the content: to make a plan nothing is read of a dump beyond its first bytes. The same
//! pile makes the same plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead, BufReader, Cursor, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vmcore_os::open_input;
use vmcore_remote::{Address, is_address};

use crate::input::{Item, ItemKind, Known};
use crate::servers::Servers;
use crate::{TriageError, clock, fingerprint, path_text};

const VERSION: u64 = 1;
/// Longest line of a plan, in bytes: a dump split over thousands of files.
const MAX_LINE: u64 = 4 << 20;
/// Bytes of a plan that is read as a whole: ten million dumps.
pub(super) const MAX_PLAN: u64 = 2 << 30;
/// What an item costs besides its bytes, in bytes: most of the time of most goes into what does not depend on their size.
const BASE_COST: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    plan: u64,
}

/// One item of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Names its row.
    pub key: String,
    #[serde(with = "path_text::one")]
    path: PathBuf,
    kind: ItemKind,
    #[serde(default, with = "path_text::several", skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PathBuf>,
    #[serde(default, with = "path_text::maybe", skip_serializing_if = "Option::is_none")]
    vmlinux: Option<PathBuf>,
    #[serde(default, with = "path_text::maybe", skip_serializing_if = "Option::is_none")]
    log: Option<PathBuf>,
    /// Bytes of all its files.
    size: u64,
    /// When its first file was last changed; seconds since 1970.
    changed: Option<i64>,
    /// The kernel's release, where the header of a dump has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    /// The store's mark of the content, of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl Planned {
    fn of(item: &Item) -> Self {
        let sizes = item.files().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len());
        let names = item.files().map(|path| path.as_os_str().as_encoded_bytes());
        let names: Vec<u8> = names.flat_map(|name| name.iter().copied().chain([0])).collect();
        let changed = item.path.metadata().and_then(|metadata| metadata.modified()).ok();
        let (size, changed, etag) = match &item.known {
            Some(known) => (known.size, known.changed, Some(known.etag.clone())),
            None => (sizes.fold(0, u64::saturating_add), changed.map(clock::seconds), None),
        };
        Self {
            key: fingerprint::hex(&names),
            path: item.path.clone(),
            kind: item.kind,
            parts: item.parts.clone(),
            vmlinux: item.vmlinux.clone(),
            log: item.log.clone(),
            size,
            changed,
            kernel: if etag.is_some() { None } else { vmcore_dump::header_release(&item.path) },
            etag,
        }
    }

    /// What is to be judged.
    #[must_use]
    pub fn item(&self) -> Item {
        Item {
            path: self.path.clone(),
            kind: self.kind,
            parts: self.parts.clone(),
            vmlinux: self.vmlinux.clone(),
            log: self.log.clone(),
            known: self.etag.as_ref().map(|etag| Known { size: self.size, changed: self.changed, etag: etag.clone() }),
        }
    }

    const fn cost(&self) -> u64 {
        self.size.saturating_add(BASE_COST)
    }
}

/// Writes the plan of a pile. Paths are made absolute: the machines of a cluster see the same files, not the same
/// working directory.
///
/// # Errors
///
/// As `out`.
pub fn write_plan(items: &[Item], out: &mut dyn Write) -> io::Result<()> {
    write_line(&Header { plan: VERSION }, out)?;
    items.iter().try_for_each(|item| write_line(&Planned::of(&absolute(item)?), out))
}

fn absolute(item: &Item) -> io::Result<Item> {
    let full = |path: &PathBuf| if is_address(path) { Ok(path.clone()) } else { std::path::absolute(path) };
    let maybe = |path: &Option<PathBuf>| path.as_ref().map(full).transpose();
    Ok(Item {
        path: full(&item.path)?,
        kind: item.kind,
        parts: item.parts.iter().map(full).collect::<Result<_, _>>()?,
        vmlinux: maybe(&item.vmlinux)?,
        log: maybe(&item.log)?,
        known: item.known.clone(),
    })
}

fn write_line(line: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string(line)?;
    writeln!(out, "{text}")
}

/// A plan that is being read, item by item.
pub struct Plan {
    path: PathBuf,
    lines: Box<dyn BufRead>,
    line: usize,
}

impl Plan {
    /// Opens a plan.
    ///
    /// # Errors
    ///
    /// [`TriageError::Input`] or [`TriageError::Plan`].
    pub fn open(path: &Path, servers: &Servers) -> Result<Self, TriageError> {
        let input = |cause| TriageError::Input { path: path.to_owned(), cause };
        let lines: Box<dyn BufRead> = match Address::of_path(path)? {
            Some(address) => Box::new(Cursor::new((servers.client)().get(&address, MAX_PLAN)?)),
            None => Box::new(BufReader::new(open_input(path).map_err(input)?)),
        };
        let mut plan = Self { path: path.to_owned(), lines, line: 0 };
        match plan.next_line::<Header>()? {
            Some(Header { plan: VERSION }) => Ok(plan),
            Some(_) => Err(plan.wrong("it is of another version of the program")),
            None => Err(plan.wrong("it is empty")),
        }
    }

    fn next_line<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, TriageError> {
        let mut text = String::new();
        self.line += 1;
        let read = io::Read::take(&mut self.lines, MAX_LINE).read_line(&mut text);
        match read.map_err(|cause| TriageError::Input { path: self.path.clone(), cause })? {
            0 => Ok(None),
            // A plan that is still being written is none.
            _ if !text.ends_with('\n') => Err(self.wrong("it is cut off")),
            _ => serde_json::from_str(&text).map(Some).map_err(|error| self.wrong(&error.to_string())),
        }
    }

    fn wrong(&self, reason: &str) -> TriageError {
        TriageError::Plan { path: self.path.clone(), line: self.line, reason: reason.to_owned() }
    }

    /// The items of share `number` (from 1) of `of`, in the order of the plan. Shares cost about the same: each item, the
    /// costliest first, goes to the share that has least.
    ///
    /// # Errors
    ///
    /// As [`Plan::open`].
    pub fn share(self, number: u64, of: u64) -> Result<Vec<Planned>, TriageError> {
        let all: Vec<_> = self.collect::<Result<_, _>>()?;
        let mut order: Vec<_> = (0..all.len()).collect();
        order.sort_by_key(|&at| (Reverse(all.get(at).map(Planned::cost)), at));
        // What comes after these has nothing to do.
        let of = of.min(all.len() as u64);
        let mut shares: BinaryHeap<_> = (1..=of).map(|share| Reverse((0, share))).collect();
        let mut mine = vec![false; all.len()];
        for at in order {
            let (Some(Reverse((cost, share))), Some(item)) = (shares.pop(), all.get(at)) else { break };
            shares.push(Reverse((cost + u128::from(item.cost()), share)));
            if let Some(mine) = mine.get_mut(at) {
                *mine = share == number;
            }
        }
        Ok(all.into_iter().zip(mine).filter_map(|(item, mine)| mine.then_some(item)).collect())
    }
}

impl Iterator for Plan {
    type Item = Result<Planned, TriageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}
