//! `mod`: loaded modules.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect::LoadedModule;

use crate::{Hex, Painted, Report, Sanitized, Theme};

/// The loaded modules, by the address of their code.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mod")]
pub struct Mod<'a> {
    /// The modules.
    pub modules: Vec<Module<'a>>,
}

/// One module.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Module")]
pub struct Module<'a> {
    /// Its name.
    pub name: &'a str,
    /// The address of its `struct module`.
    pub module: Hex,
    /// Where its code begins.
    pub text: Option<Hex>,
    /// Bytes of memory that it has, code and data.
    pub size: Option<u64>,
    /// `live`, `coming`, `going` or `unformed`.
    pub state: Option<&'a str>,
    /// How many use it.
    pub references: Option<i64>,
    /// Why it taints the kernel, by letter: `P` proprietary, `O` out of tree, `E` unsigned and so on.
    pub taints: Option<&'a str>,
    /// Its version, where it has one.
    pub version: Option<&'a str>,
    /// The file that its source lines come from.
    pub debug_file: Option<&'a str>,
    /// Why files that were found do not serve.
    pub rejected_files: &'a [String],
}

impl<'a> Mod<'a> {
    /// The modules.
    #[must_use]
    pub fn new(modules: &'a [LoadedModule]) -> Self {
        let module = |module: &'a LoadedModule| Module {
            name: &module.name,
            module: module.address.into(),
            text: module.text.first().map(|(start, _)| (*start).into()),
            size: module.size,
            state: module.state.as_deref(),
            references: module.references,
            taints: module.taints.as_deref(),
            version: module.version.as_deref(),
            debug_file: module.debug_file.as_deref(),
            rejected_files: &module.rejected_files,
        };
        Self { modules: modules.iter().map(module).collect() }
    }
}

impl Report for Mod<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let head = format_args!(
            "{:16}  {:16}  {:>9} {:>4}  {:8} {:6} {:24} DEBUG FILE",
            "MODULE", "TEXT", "SIZE", "USED", "STATE", "TAINTS", "NAME"
        );
        writeln!(out, "{}", Painted(theme.heading, head))?;
        self.modules.iter().try_for_each(|module| write_module(module, out, theme))
    }
}

fn write_module(module: &Module<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let number = |number: Option<i128>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let text = module.text.map_or_else(|| "-".to_owned(), |Hex(text)| format!("{text:016x}"));
    let taints = match module.taints {
        Some("") => "-",
        Some(taints) => taints,
        None => "?",
    };
    let style = if taints == "-" { theme.dim } else { theme.doubtful };
    write!(
        out,
        "{:016x}  {text:16}  {:>9} {:>4}  {:8} {} {:24} ",
        module.module.0,
        number(module.size.map(Into::into)),
        number(module.references.map(Into::into)),
        module.state.unwrap_or("?"),
        Painted(style, format_args!("{taints:6}")),
        Sanitized::new(module.name),
    )?;
    match (module.debug_file, module.rejected_files.first()) {
        (Some(file), _) => writeln!(out, "{}", Sanitized::new(file)),
        (None, Some(why)) => {
            writeln!(out, "{}", Painted(theme.dim, format_args!("(not used: {})", Sanitized::new(why))))
        }
        (None, None) => writeln!(out, "{}", Painted(theme.dim, "(none)")),
    }
}
