//! `rd`: raw memory.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect::{Named, Words};

use crate::{Hex, Painted, Report, Sanitized, Theme};

/// Bytes on one line.
const LINE: u64 = 16;

/// Words of memory.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rd")]
pub struct Rd {
    /// Bytes of each word: 1, 2, 4 or 8.
    pub width: u64,
    /// The words; null where not one could be read.
    pub words: Option<Vec<Word>>,
    /// Why there are not as many as were asked for.
    pub error: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    symbols: bool,
}

/// One word.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Word")]
pub struct Word {
    /// Its address.
    pub address: Hex,
    /// Its value.
    pub value: Hex,
    /// What is at the address that it is, where that has a name.
    pub symbol: Option<String>,
}

impl Rd {
    /// The words, in text with symbols in place of addresses that have some if `symbols`.
    #[must_use]
    pub fn new(words: &Words, symbols: bool) -> Self {
        let name = |index: usize| words.names.get(index).and_then(Option::as_ref).map(Named::to_string);
        let word = |(index, (address, value))| Word { address: Hex(address), value: Hex(value), symbol: name(index) };
        Self {
            width: words.width,
            words: Some(words.words().enumerate().map(word).collect()),
            error: words.missing.clone(),
            symbols,
        }
    }

    /// No words of `width` bytes, and why.
    #[must_use]
    pub fn unread(width: u64, why: String) -> Self {
        Self { width, words: None, error: Some(why), symbols: false }
    }
}

impl Report for Rd {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let width = usize::try_from(self.width).unwrap_or(8).max(1);
        let digits = width * 2;
        let on_a_line = usize::try_from(LINE).unwrap_or(16) / width;
        for line in self.words.iter().flat_map(|words| words.chunks(on_a_line.max(1))) {
            let Some(first) = line.first() else { continue };
            write!(out, "{}  ", Painted(theme.dim, format_args!("{:016x}:", first.address.0)))?;
            for word in line {
                match word.symbol.as_deref().filter(|_| self.symbols) {
                    Some(symbol) => write!(out, "{:<digits$} ", Sanitized::new(symbol))?,
                    None => write!(out, "{:0digits$x} ", word.value.0)?,
                }
            }
            let missing = on_a_line.saturating_sub(line.len()) * (digits + 1);
            if self.symbols {
                writeln!(out)?;
            } else {
                writeln!(out, "{:missing$}  {}", "", characters(line, width))?;
            }
        }
        match &self.error {
            Some(error) => writeln!(out, "{}", Painted(theme.doubtful, format_args!("({})", Sanitized::new(error)))),
            None => Ok(()),
        }
    }
}

/// The bytes as characters, `.` for those that are none.
fn characters(words: &[Word], width: usize) -> String {
    let bytes = words.iter().flat_map(|word| word.value.0.to_le_bytes().into_iter().take(width));
    bytes.map(|byte| if matches!(byte, 0x20..=0x7e) { char::from(byte) } else { '.' }).collect()
}
