//! The table of scenarios in the user guide, which must have every scenario with what it shows and what is expected.

use libtest_mimic::Failed;
use vmcore_synth::scenario;

use crate::row::Verdict;

const GUIDE: &str = include_str!("../../docs/synthetic.md");

/// Whether the guide's table has these lines and no others; what must be there is in the message.
pub(crate) fn check() -> Result<(), Failed> {
    let lines: Vec<_> = scenario::names().map(line).collect();
    let there: Vec<_> = GUIDE.lines().filter(|line| line.starts_with("| `") && line.contains("; exit ")).collect();
    if lines == there {
        return Ok(());
    }
    Err(format!("the table of docs/synthetic.md must be:\n{}", lines.join("\n")).into())
}

fn line(name: &str) -> String {
    let scenario = scenario::named(name).unwrap();
    let kernels = match scenario.arch {
        _ if !scenario.kernels.is_empty() => scenario.kernels.join(", "),
        Some(arch) => arch.architecture().name().to_owned(),
        None => "all".to_owned(),
    };
    format!("| `{name}` | {} | {kernels} | {} |", scenario.about, Verdict::expected(&scenario.expect))
}
