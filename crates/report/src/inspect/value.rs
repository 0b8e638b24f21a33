//! `p`, and values wherever else they are shown.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use vmcore_inspect as inspect;
use vmcore_inspect::{Content, Evaluated};

use crate::{Hex, Painted, Report, Sanitized, Theme, names};

/// Columns that the elements of an array may take on one line.
const LINE: usize = 100;

/// What an expression comes to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "P")]
pub struct P<'a> {
    /// The expression as it was written.
    pub expression: &'a str,
    /// Its value, where it has one for the whole machine.
    pub value: Option<Value<'a>>,
    /// Its value on each CPU, where it has a per-CPU variable in it.
    pub per_cpu: Vec<CpuValue<'a>>,
    #[serde(skip)]
    #[schemars(skip)]
    hex: bool,
}

/// The value of a per-CPU expression on one CPU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CpuValue<'a> {
    /// The CPU.
    pub cpu: u32,
    /// The value; null where there is none.
    pub value: Option<Value<'a>>,
    /// Why there is none.
    pub error: Option<&'a str>,
}

/// A value with its type. Fields that do not belong to its kind are left out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Value")]
pub struct Value<'a> {
    /// Its type as C spells it.
    #[serde(rename = "type")]
    pub type_name: &'a str,
    /// Where it is; null for the result of a calculation.
    pub address: Option<Hex>,
    /// `integer`, `bool`, `char`, `enum`, `pointer`, `float`, `text`, `struct`, `array`, `unreadable` or `opaque`.
    #[schemars(schema_with = "kind_schema")]
    pub kind: &'static str,
    /// The number of an integer, `bool` (0 or 1), `char` or enumerator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i128>,
    /// The name of an enumerator, or of several that make the number up; what an opaque value is; why one is unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Where a pointer leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Hex>,
    /// What is there, where that has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<&'a str>,
    /// The text of an array of characters, or behind a pointer to some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    /// A floating-point number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<f64>,
    /// The members of a struct or union.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Member<'a>>>,
    /// How many elements an array has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// The elements of an array, equal neighbours together; not all of a long one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elements: Option<Vec<Run<'a>>>,
}

/// A member of a struct or union.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ValueMember")]
pub struct Member<'a> {
    /// Its name, or the path that was asked for; null for an anonymous struct or union.
    pub name: Option<&'a str>,
    /// Bytes from the start of the object.
    pub offset: u64,
    /// The width of a bit-field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    /// Its value.
    pub value: Value<'a>,
}

/// Equal elements of an array.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ValueRun")]
pub struct Run<'a> {
    /// The index of the first.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// The value of each.
    pub value: Value<'a>,
}

fn kind_schema(_: &mut SchemaGenerator) -> Schema {
    names::one_of([
        "integer",
        "bool",
        "char",
        "enum",
        "pointer",
        "float",
        "text",
        "struct",
        "array",
        "unreadable",
        "opaque",
    ])
}

impl<'a> P<'a> {
    /// The value of `expression`; `hex` writes numbers in hexadecimal.
    #[must_use]
    pub fn new(expression: &'a str, evaluated: &'a Evaluated, hex: bool) -> Self {
        let (value, per_cpu) = match evaluated {
            Evaluated::One(member) => (Some(Value::new(&member.value)), Vec::new()),
            Evaluated::PerCpu(values) => (None, values.iter().map(CpuValue::new).collect()),
        };
        Self { expression, value, per_cpu, hex }
    }
}

impl<'a> CpuValue<'a> {
    fn new(value: &'a inspect::PerCpuValue) -> Self {
        let inspect::PerCpuValue { cpu, value } = value;
        let error = value.as_ref().err().map(String::as_str);
        Self { cpu: *cpu, value: value.as_ref().ok().map(Value::new), error }
    }
}

impl<'a> Member<'a> {
    pub(super) fn new(member: &'a inspect::Member) -> Self {
        let inspect::Member { name, offset, bits, value } = member;
        Self { name: name.as_deref(), offset: *offset, bits: *bits, value: Value::new(value) }
    }
}

impl<'a> Value<'a> {
    /// The model of a value.
    #[must_use]
    pub fn new(value: &'a inspect::Value) -> Self {
        let mut model = Self {
            type_name: &value.type_name,
            address: value.address.map(Hex::from),
            kind: "opaque",
            number: None,
            name: None,
            target: None,
            symbol: None,
            text: None,
            float: None,
            members: None,
            len: None,
            elements: None,
        };
        match &value.content {
            Content::Integer { value, .. } => (model.kind, model.number) = ("integer", Some(*value)),
            Content::Truth(value) => (model.kind, model.number) = ("bool", Some((*value).into())),
            Content::Character(value) => (model.kind, model.number) = ("char", Some((*value).into())),
            Content::Enumerator { value, name } => {
                (model.kind, model.number, model.name) = ("enum", Some((*value).into()), name.as_deref());
            }
            Content::Pointer { target, symbol, text } => {
                (model.kind, model.target) = ("pointer", Some((*target).into()));
                (model.symbol, model.text) = (symbol.as_deref(), text.as_deref());
            }
            Content::Float(value) => (model.kind, model.float) = ("float", Some(*value)),
            Content::Text(text) => (model.kind, model.text) = ("text", Some(text.as_str())),
            Content::Members(members) => {
                (model.kind, model.members) = ("struct", Some(members.iter().map(Member::new).collect()));
            }
            Content::Elements { len, runs } => {
                let run =
                    |run: &'a inspect::Run| Run { first: run.first, count: run.count, value: Value::new(&run.value) };
                (model.kind, model.len, model.elements) = ("array", Some(*len), Some(runs.iter().map(run).collect()));
            }
            Content::Unreadable(why) => (model.kind, model.name) = ("unreadable", Some(why.as_str())),
            Content::Opaque(what) => model.name = Some(what),
        }
        model
    }
}

impl Report for P<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let printer = Printer { theme, hex: self.hex };
        let name = Sanitized::new(self.expression);
        if let Some(value) = &self.value {
            return writeln!(out, "{name} = {}", printer.show(value, 0));
        }
        for CpuValue { cpu, value, error } in &self.per_cpu {
            write!(out, "{} {name} = ", Painted(theme.heading, format_args!("CPU {cpu}:")))?;
            match value {
                Some(value) => writeln!(out, "{}", printer.show(value, 0))?,
                None => writeln!(out, "{}", Painted(theme.doubtful, Sanitized::new(error.unwrap_or("?"))))?,
            }
        }
        Ok(())
    }
}

/// Writes values as a debugger does.
pub(super) struct Printer<'t> {
    pub(super) theme: &'t Theme,
    pub(super) hex: bool,
}

impl Printer<'_> {
    /// `name = value,` on as many lines as it takes.
    pub(super) fn member(&self, member: &Member<'_>, indent: usize) -> String {
        let pad = " ".repeat(indent);
        match member.name {
            Some(name) => format!("{pad}{} = {}", Sanitized::new(name), self.show(&member.value, indent)),
            None => format!("{pad}{}", self.show(&member.value, indent)),
        }
    }

    pub(super) fn show(&self, value: &Value<'_>, indent: usize) -> String {
        if let Some(members) = &value.members {
            let members: Vec<_> = members.iter().map(|member| self.member(member, indent + 2)).collect();
            return format!("{{\n{}\n{}}}", members.join(",\n"), " ".repeat(indent));
        }
        if let Some(elements) = &value.elements {
            return self.array(elements, value.len.unwrap_or_default(), indent);
        }
        match value.kind {
            "unreadable" => {
                let why = format_args!("(cannot be read: {})", Sanitized::new(value.name.unwrap_or("?")));
                Painted(self.theme.doubtful, why).to_string()
            }
            "opaque" => format!("({})", Sanitized::new(value.name.unwrap_or("?"))),
            "pointer" => self.pointer(value),
            "text" => format!("\"{}\"", Sanitized::new(value.text.unwrap_or_default())),
            "float" => value.float.unwrap_or_default().to_string(),
            "bool" => (value.number != Some(0)).to_string(),
            "char" => character(value.number.unwrap_or_default()),
            "enum" => {
                let number = value.number.unwrap_or_default();
                value.name.map_or_else(|| number.to_string(), |name| Sanitized::new(name).to_string())
            }
            _ => self.number(value.number.unwrap_or_default()),
        }
    }

    /// Large numbers are rarely meant in decimal, and small ones rarely otherwise.
    fn number(&self, number: i128) -> String {
        let raw = u64::try_from(number & i128::from(u64::MAX)).unwrap_or_default();
        match number {
            _ if self.hex => format!("{raw:#x}"),
            0x1_0000_0000.. | ..=-0x1_0000_0000 => format!("{number} ({raw:#x})"),
            _ => number.to_string(),
        }
    }

    fn pointer(&self, value: &Value<'_>) -> String {
        let mut text = value.target.unwrap_or(Hex(0)).to_string();
        if let Some(symbol) = value.symbol {
            text.push_str(&format!(" <{}>", Painted(self.theme.good, Sanitized::new(symbol))));
        }
        if let Some(behind) = value.text {
            text.push_str(&format!(" \"{}\"", Sanitized::new(behind)));
        }
        text
    }

    fn array(&self, elements: &[Run<'_>], len: u64, indent: usize) -> String {
        let is_flat = elements.iter().all(|run| run.value.members.is_none() && run.value.elements.is_none());
        let element = |run: &Run<'_>| {
            let value = self.show(&run.value, indent + 2);
            if run.count > 1 { format!("{value} <{} times>", run.count) } else { value }
        };
        let mut shown: Vec<_> = elements.iter().map(element).collect();
        let last = elements.last().map_or(0, |run| run.first.saturating_add(run.count));
        if last < len {
            shown.push(format!("... {} more", len - last));
        }
        let width: usize = shown.iter().map(|text| text.len() + 2).sum();
        if is_flat && width <= LINE {
            return format!("{{{}}}", shown.join(", "));
        }
        let pad = " ".repeat(indent + 2);
        let numbered = shown.iter().enumerate().map(|(at, text)| {
            let index = elements.get(at).map(|run| format!("[{}] = ", run.first)).unwrap_or_default();
            format!("{pad}{index}{text}")
        });
        format!("{{\n{}\n{}}}", numbered.collect::<Vec<_>>().join(",\n"), " ".repeat(indent))
    }
}

/// A character with its number: `65 'A'`.
fn character(number: i128) -> String {
    match u8::try_from(number) {
        Ok(byte @ 0x20..=0x7e) => format!("{byte} '{}'", char::from(byte)),
        _ => number.to_string(),
    }
}
