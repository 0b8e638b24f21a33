//! A line of a report, with what the search needs of it computed once.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::callers;
use super::grammar::State;
use crate::prefix::{Caller, Prefix};
use crate::token::Token;

/// A line of a report.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Counted from 0.
    pub(crate) number: u64,
    pub(crate) timestamp_ns: Option<u64>,
    pub(crate) caller: Option<Caller>,
    pub(crate) token: Token,
    /// Equal for equal text.
    pub(crate) text: u64,
    /// What the line may be.
    pub(crate) states: Vec<State>,
    /// Register values that say whose they are.
    pub(crate) values: Vec<(&'static str, u64)>,
    /// The function, of a place that the unwinder is sure of.
    symbol: Option<String>,
    /// Who may have called it, where that is known.
    pub(crate) callers: Option<&'static [&'static str]>,
}

impl Line {
    pub(crate) fn new(number: u64, prefix: &Prefix, text: &str, token: Token) -> Self {
        let mut hasher = DefaultHasher::new();
        text.trim().hash(&mut hasher);
        let states = State::of(&token);
        let values = match &token {
            Token::Row(row) => row.values.iter().copied().filter(|(_, value)| is_telling(*value)).collect(),
            _ => Vec::new(),
        };
        let symbol = match &token {
            Token::Frame(entry) if entry.frame.reliable => entry.frame.location.symbol.clone(),
            Token::Rip(rip) => rip.location.symbol.clone(),
            _ => None,
        };
        let callers = symbol.as_deref().and_then(callers::of);
        let Prefix { timestamp_ns, caller, .. } = *prefix;
        Self { number, timestamp_ns, caller, text: hasher.finish(), token, states, values, symbol, callers }
    }

    /// The function of a reliable entry of the trace.
    pub(crate) fn frame_symbol(&self) -> Option<&str> {
        self.symbol.as_deref().filter(|_| matches!(self.token, Token::Frame(_)))
    }

    /// Whether it says where the CPU was: the next entry of the trace is its caller.
    pub(crate) const fn is_callee(&self) -> bool {
        self.symbol.is_some()
    }

    /// A line of code or of the stack: what follows which is learned.
    pub(crate) const fn is_place(&self) -> bool {
        matches!(self.token, Token::Frame(_) | Token::Rip(_) | Token::Code)
    }
}

/// Counts, flags and -1 are in everybody's registers; pointers are not.
const fn is_telling(value: u64) -> bool {
    value >= 1 << 16 && value < u64::MAX - (1 << 16)
}
