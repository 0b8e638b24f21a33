//! `struct`: what a type looks like, or an object of it.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect as inspect;

use super::value::{Member, Printer, Value};
use crate::{Hex, Painted, Report, Sanitized, Theme};

/// A type, and with an address the object there.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Struct")]
pub struct Struct<'a> {
    /// The type as C spells it.
    #[serde(rename = "type")]
    pub type_name: &'a str,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its members, those of anonymous structs and unions behind these; empty where an object is shown.
    pub members: Vec<LayoutMember<'a>>,
    /// The enumerators of an enumeration.
    pub enumerators: Vec<Enumerator<'a>>,
    /// The declaration of the variable whose name was given in place of a type's.
    pub variable: Option<&'a str>,
    /// The address that was asked for; of a per-CPU variable, that on the first CPU.
    pub address: Option<Hex>,
    /// The CPU of each object, where they are those of a per-CPU variable on several CPUs; else empty.
    pub cpus: Vec<u32>,
    /// The whole objects from there on.
    pub objects: Vec<Value<'a>>,
    /// The members that were asked for, of each object.
    pub selected: Vec<Vec<Member<'a>>>,
    #[serde(skip)]
    #[schemars(skip)]
    hex: bool,
}

/// A member's place.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "LayoutMember")]
pub struct LayoutMember<'a> {
    /// How many anonymous structs and unions it is in.
    pub depth: usize,
    /// Its name; null for an anonymous struct or union, whose members follow.
    pub name: Option<&'a str>,
    /// Its declaration.
    pub declaration: &'a str,
    /// Bytes from the start of the whole.
    pub offset: u64,
    /// For a bit-field: its least significant bit behind the offset.
    pub bit: Option<u64>,
    /// For a bit-field: its width.
    pub bits: Option<u32>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// An enumerator.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Enumerator")]
pub struct Enumerator<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: i64,
}

impl<'a> Struct<'a> {
    /// The layout of a type.
    #[must_use]
    pub fn layout(layout: &'a inspect::Layout) -> Self {
        let member = |member: &'a inspect::LayoutMember| LayoutMember {
            depth: member.depth,
            name: member.name.as_deref(),
            declaration: &member.declaration,
            offset: member.offset,
            bit: member.bits.map(|(bit, _)| bit),
            bits: member.bits.map(|(_, width)| width),
            size: member.size,
        };
        Self {
            type_name: &layout.type_name,
            size: layout.size,
            members: layout.members.iter().map(member).collect(),
            enumerators: layout.enumerators.iter().map(|(name, value)| Enumerator { name, value: *value }).collect(),
            variable: None,
            address: None,
            cpus: Vec::new(),
            objects: Vec::new(),
            selected: Vec::new(),
            hex: false,
        }
    }

    /// The same, as the layout of the type of a variable.
    #[must_use]
    pub fn of_variable(self, declaration: &'a str) -> Self {
        Self { variable: Some(declaration), ..self }
    }

    /// The same, with the CPU of each object.
    #[must_use]
    pub fn on_cpus(self, cpus: Vec<u32>) -> Self {
        Self { cpus, ..self }
    }

    /// Objects of a type; with `selected`, only those members of each.
    #[must_use]
    pub fn objects(
        layout: &'a inspect::Layout,
        address: vmcore_memory::VirtAddr,
        objects: &'a [inspect::Value],
        selected: &'a [Vec<inspect::Member>],
        hex: bool,
    ) -> Self {
        let of = |members: &'a Vec<inspect::Member>| members.iter().map(Member::new).collect();
        Self {
            members: Vec::new(),
            enumerators: Vec::new(),
            address: Some(address.into()),
            objects: objects.iter().map(Value::new).collect(),
            selected: selected.iter().map(of).collect(),
            hex,
            ..Self::layout(layout)
        }
    }
}

impl Report for Struct<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if self.address.is_none() {
            return self.write_layout(out, theme);
        }
        let printer = Printer { theme, hex: self.hex };
        let cpu =
            |index: usize| self.cpus.get(index).map(|cpu| Painted(theme.heading, format!("CPU {cpu}:")).to_string());
        for (index, object) in self.objects.iter().enumerate() {
            if let Some(cpu) = cpu(index) {
                write!(out, "{cpu} ")?;
            }
            let name = Painted(theme.heading, Sanitized::new(self.type_name)).to_string();
            writeln!(out, "{name} {}", printer.show(object, 0))?;
        }
        for (index, members) in self.selected.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            if let Some(cpu) = cpu(index) {
                writeln!(out, "{cpu}")?;
            }
            for member in members {
                writeln!(out, "{}", printer.member(member, 2))?;
            }
        }
        Ok(())
    }
}

impl Struct<'_> {
    fn write_layout(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if let Some(declaration) = self.variable {
            writeln!(out, "{};", Sanitized::new(declaration))?;
            if self.members.is_empty() && self.enumerators.is_empty() {
                return self.size.map_or(Ok(()), |size| writeln!(out, "SIZE: {size}"));
            }
        }
        writeln!(out, "{} {{", Painted(theme.heading, Sanitized::new(self.type_name)))?;
        let mut open: Vec<usize> = Vec::new();
        let width = self.size.unwrap_or_default().to_string().len().max(3);
        let close = |open: &mut Vec<usize>, depth: usize, out: &mut dyn Write| -> io::Result<()> {
            while open.last().is_some_and(|inner| *inner >= depth) {
                let inner = open.pop().unwrap_or_default();
                writeln!(out, "  {:width$}   {}}};", "", "    ".repeat(inner))?;
            }
            Ok(())
        };
        for member in &self.members {
            close(&mut open, member.depth, out)?;
            let place = format!("[{}]", member.offset);
            let declaration = Sanitized::new(member.declaration);
            let pad = "    ".repeat(member.depth);
            let end = match (member.name, member.bits) {
                (None, None) if matches!(member.declaration, "struct" | "union") => {
                    open.push(member.depth);
                    " {".to_owned()
                }
                (_, Some(bits)) => format!(" : {bits};"),
                _ => ";".to_owned(),
            };
            let place = Painted(theme.dim, format_args!("{place:>0$}", width + 2));
            writeln!(out, "  {place} {pad}{declaration}{end}")?;
        }
        close(&mut open, 0, out)?;
        for Enumerator { name, value } in &self.enumerators {
            writeln!(out, "  {} = {value}", Sanitized::new(name))?;
        }
        writeln!(out, "}}")?;
        self.size.map_or(Ok(()), |size| writeln!(out, "SIZE: {size}"))
    }
}
