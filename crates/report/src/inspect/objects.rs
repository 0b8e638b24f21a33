//! `list` and `tree`: objects that are linked.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect as inspect;

use super::value::{Member, Printer};
use crate::{Hex, Painted, Report, Sanitized, Theme};

/// Objects, in the order of their links.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Objects")]
pub struct Objects<'a> {
    /// The objects.
    pub objects: Vec<Object<'a>>,
    /// Why there may be more that are not here.
    pub error: Option<&'a str>,
    #[serde(skip)]
    #[schemars(skip)]
    hex: bool,
}

/// One object.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Object")]
pub struct Object<'a> {
    /// Its address.
    pub address: Hex,
    /// Its index in an xarray or maple tree.
    pub index: Option<Hex>,
    /// The members that were asked for; with a type alone, one without a name that is the whole.
    pub members: Vec<Member<'a>>,
}

impl<'a> Objects<'a> {
    /// What a walk found; `members` are of each object in turn.
    #[must_use]
    pub fn new(linked: &'a inspect::Linked, members: &'a [Vec<inspect::Member>], hex: bool) -> Self {
        let object = |(at, (address, index)): (usize, &(vmcore_memory::VirtAddr, Option<u64>))| Object {
            address: (*address).into(),
            index: index.map(Hex),
            members: members.get(at).into_iter().flatten().map(Member::new).collect(),
        };
        Self { objects: linked.objects.iter().enumerate().map(object).collect(), error: linked.problem.as_deref(), hex }
    }
}

impl Report for Objects<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let printer = Printer { theme, hex: self.hex };
        for object in &self.objects {
            write!(out, "{}", Painted(theme.heading, format_args!("{:016x}", object.address.0)))?;
            match object.index {
                Some(index) => writeln!(out, "  index {index}")?,
                None => writeln!(out)?,
            }
            for member in &object.members {
                writeln!(out, "{}", printer.member(member, 2))?;
            }
        }
        match self.error {
            Some(error) => writeln!(out, "{}", Painted(theme.doubtful, format_args!("({})", Sanitized::new(error)))),
            None => Ok(()),
        }
    }
}
