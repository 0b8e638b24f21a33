//! `mod`: loaded modules.

use std::io::{self, Write};

use vmcore_inspect::state::{Module, Modules};

use super::Gaps;
use crate::{Hex, Painted, Report, Sanitized, Theme};

impl Report for Modules {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut gaps = Gaps::new(&self.gaps);
        if !self.modules.found().is_empty() {
            let head = format_args!(
                "{:16}  {:16}  {:>9} {:>4}  {:8} {:6} {:24} DEBUG FILE",
                "MODULE", "TEXT", "SIZE", "USED", "STATE", "TAINTS", "NAME"
            );
            writeln!(out, "{}", Painted(theme.heading, head))?;
        }
        self.modules.found().iter().try_for_each(|module| write_module(module, out, theme))?;
        if self.modules.has_none() {
            gaps.of(&self.modules, "no modules", 0, out, theme)?;
        }
        gaps.rest(out, theme)
    }
}

fn write_module(module: &Module, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let number = |number: Option<i128>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let text = module.text.map_or_else(|| "-".to_owned(), |Hex(text)| format!("{text:016x}"));
    let taints = match module.taints.as_deref() {
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
        module.state.as_deref().unwrap_or("?"),
        Painted(style, format_args!("{taints:6}")),
        Sanitized::new(&module.name),
    )?;
    match (&module.debug_file, module.rejected_files.first()) {
        (Some(file), _) => writeln!(out, "{}", Sanitized::new(file)),
        (None, Some(why)) => {
            writeln!(out, "{}", Painted(theme.dim, format_args!("(not used: {})", Sanitized::new(why))))
        }
        (None, None) => writeln!(out, "{}", Painted(theme.dim, "(none)")),
    }
}
