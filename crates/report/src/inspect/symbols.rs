//! `sym`: symbols by name and by address.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect::FoundSymbol;

use crate::{Hex, Painted, Report, Sanitized, Theme};

/// Symbols.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sym")]
pub struct Sym<'a> {
    /// The symbols, in the order they were asked for.
    pub symbols: Vec<Symbol<'a>>,
}

/// One symbol.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Symbol")]
pub struct Symbol<'a> {
    /// The address: of the symbol, or the one inside it that was asked for. Of a per-CPU variable, the one it is linked
    /// at.
    pub address: Hex,
    /// Its name.
    pub name: &'a str,
    /// Bytes from its start to the address.
    pub offset: u64,
    /// The module that it is in; null for the image.
    pub module: Option<&'a str>,
    /// Whether it is a per-CPU variable.
    pub per_cpu: bool,
    /// The source file of code.
    pub file: Option<&'a str>,
    /// The line in it.
    pub line: Option<u32>,
}

impl<'a> Sym<'a> {
    /// The symbols.
    #[must_use]
    pub fn new(found: &'a [FoundSymbol]) -> Self {
        let symbol = |found: &'a FoundSymbol| Symbol {
            address: found.address.into(),
            name: &found.name.symbol,
            offset: found.name.offset,
            module: found.name.module.as_deref(),
            per_cpu: found.per_cpu,
            file: found.source.as_ref().map(|(file, _)| file.as_str()),
            line: found.source.as_ref().and_then(|(_, line)| *line),
        };
        Self { symbols: found.iter().map(symbol).collect() }
    }
}

impl Report for Sym<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        for symbol in &self.symbols {
            write!(out, "{:016x}  {}", symbol.address.0, Sanitized::new(symbol.name))?;
            if symbol.offset != 0 {
                write!(out, "+{:#x}", symbol.offset)?;
            }
            if let Some(module) = symbol.module {
                write!(out, " [{}]", Sanitized::new(module))?;
            }
            if symbol.per_cpu {
                write!(out, "  (per-CPU)")?;
            }
            if let Some(file) = symbol.file {
                let line = symbol.line.map(|line| format!(":{line}")).unwrap_or_default();
                write!(out, "  {}", Painted(theme.dim, format_args!("{}{line}", Sanitized::new(file))))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}
