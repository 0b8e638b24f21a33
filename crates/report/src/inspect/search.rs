//! `search`: where a value is in memory.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect::{Hit, SearchResult};

use crate::{Hex, Painted, Report, Theme};

/// Places where it was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Search")]
pub struct Search {
    /// The places, by physical address.
    pub found: Vec<Found>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// Pages of 4 KiB that were looked at: all that are in the dump, until there was enough.
    pub pages: u64,
}

/// One place.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Found")]
pub struct Found {
    /// In physical memory.
    pub physical: Hex,
    /// In the kernel's direct map of it.
    pub address: Option<Hex>,
    /// The number that is there; null for text.
    pub value: Option<Hex>,
}

impl Search {
    /// What a search came to.
    #[must_use]
    pub fn new(result: &SearchResult, text: bool) -> Self {
        let found = |hit: &Hit| Found {
            physical: hit.physical.into(),
            address: hit.address.map(Hex::from),
            value: (!text).then_some(Hex(hit.value)),
        };
        Self { found: result.hits.iter().map(found).collect(), more: result.more, pages: result.pages }
    }
}

impl Report for Search {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        for found in &self.found {
            match found.address {
                Some(address) => write!(out, "{:016x}: ", address.0)?,
                None => write!(out, "physical {:x}: ", found.physical.0)?,
            }
            match found.value {
                Some(value) => writeln!(out, "{:x}", value.0)?,
                None => writeln!(out, "text at physical {:x}", found.physical.0)?,
            }
        }
        if self.more {
            writeln!(out, "{}", Painted(theme.doubtful, "(there are more: --limit shows them)"))?;
        }
        if self.found.is_empty() {
            let pages = self.pages;
            writeln!(
                out,
                "{}",
                Painted(theme.dim, format_args!("(not found in the {pages} pages that the dump has data of)"))
            )?;
        }
        Ok(())
    }
}
