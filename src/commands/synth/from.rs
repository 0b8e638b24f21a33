//! `synth --from`: the scenario that a dump's verdict comes down to, made and analyzed to see that it gets the same one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use vmcore_debuginfo::Vmlinux;
use vmcore_diagnose::{Facts, Options, collect, judge};
use vmcore_dump::Dump;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::Architecture;
use vmcore_reduce::{Reduced, Scope, anonymize, expected, reduce};
use vmcore_synth::scenario::{Arch, Confidence, Expected, Scenario};
use vmcore_synth::{DumpForm, Generation, build};

use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

/// Writes the scenario of the dump that is named.
pub(super) fn run(
    arguments: &cli::Synth,
    input: &cli::Input,
    context: &Context,
    output: Output,
) -> Result<Status, Failure> {
    let session = context.session(input)?;
    let snapshot = session.snapshot(&context.run);
    let facts = context.run.step("unwinding stacks", || collect(session.kernel, snapshot));
    let diagnosis = context.run.step("judging", || judge(&facts, session.kernel, &Options::default()));
    let of = |scope| {
        let reduced = reduce(&facts, &diagnosis, session.kernel, scope);
        let scenario = if arguments.anonymize { anonymize(reduced.scenario) } else { reduced.scenario };
        let scenario = Scenario { arch: machine(session.kernel.architecture()), ..scenario };
        Reduced { scenario, ..reduced }
    };
    let mut reduced = of(Scope::Verdict);
    let mut found = context.run.step("checking the scenario", || verdict(&reduced.scenario, arguments))?;
    if found != reduced.scenario.expect {
        // Something that the verdict does not name speaks for or against it.
        let everybody = of(Scope::Everybody);
        let more = context.run.step("checking a larger scenario", || verdict(&everybody.scenario, arguments))?;
        if more == everybody.scenario.expect {
            (reduced, found) = (everybody, more);
        }
    }
    let text = reduced.scenario.to_text()?;
    output.write_with(|out| out.write_all(text.as_bytes()))?;
    for unsaid in &reduced.unsaid {
        context.run.warn(format_args!("no scenario can say this yet, and it is left out: {unsaid}"));
    }
    if found == reduced.scenario.expect {
        return Ok(Status::NothingFound);
    }
    context.run.warn(format_args!(
        "the scenario does not get the dump's verdict: the dump has {}, and what is made of it {}; {}",
        words(&reduced.scenario.expect),
        words(&found),
        not_said(&facts)
    ));
    Ok(Status::Inconclusive)
}

/// The machine that a scenario must name: what is left out is x86-64, on which it can be whatever its stacks are of.
const fn machine(architecture: Architecture) -> Option<Arch> {
    match architecture {
        Architecture::X86_64 => None,
        Architecture::Arm64 => Some(Arch::Arm64),
    }
}

/// Why a scenario may get another verdict.
fn not_said(facts: &Facts<'_>) -> &'static str {
    if facts.gaps.is_empty() {
        "some of what it rests on is not in the scenario"
    } else {
        "not everything could be read of the dump, and a scenario says only a little of what is missing"
    }
}

fn words(expected: &Expected) -> String {
    let confidence = match expected.confidence {
        Confidence::None => "none",
        Confidence::Insufficient => "insufficient",
        Confidence::Possible => "possible",
        Confidence::Probable => "probable",
        Confidence::Confirmed => "confirmed",
    };
    let issue = expected.issue.as_deref().unwrap_or("no issue");
    let roles = [("spinners", &expected.spinners), ("splitters", &expected.splitters)];
    let roles = roles.into_iter().filter(|(_, pids)| !pids.is_empty());
    let roles: String = roles.map(|(role, pids)| format!(", {role} {pids:?}")).collect();
    format!("{issue} ({confidence}{roles})")
}

/// The verdict that a scenario gets once it is made: on the kernel that is named, or the newest that it can be on.
fn verdict(scenario: &Scenario, arguments: &cli::Synth) -> Result<Expected, Failure> {
    let kernel = arguments.kernel.as_deref().unwrap_or(super::default_kernel(scenario));
    let generation = Generation::named(kernel)?;
    let machine = build(scenario, &generation, arguments.seed)?;
    let cannot = |error: io::Error| {
        Failure::new(format_args!("cannot write the dump that the scenario is checked with: {error}"))
            .hint("set TMPDIR to a directory with room for it")
    };
    let directory = tempfile::tempdir().map_err(cannot)?;
    let (vmcore, vmlinux) = (directory.path().join("vmcore"), directory.path().join("vmlinux"));
    let write = |path: &Path, write: &dyn Fn(&mut BufWriter<File>) -> io::Result<()>| {
        let mut out = BufWriter::new(File::create(path)?);
        write(&mut out)?;
        out.flush()
    };
    let form = DumpForm::named("elf")?;
    write(&vmcore, &|out| form.write(&machine, 0, out).map_err(io::Error::other)).map_err(cannot)?;
    write(&vmlinux, &|out| out.write_all(&machine.vmlinux)).map_err(cannot)?;
    let (dump, vmlinux) = (Dump::open(&vmcore)?, Vmlinux::open(&vmlinux)?);
    let kernel = Kernel::open(&dump, &vmlinux)?;
    let snapshot = Snapshot::read(&kernel);
    let facts = collect(&kernel, &snapshot);
    Ok(expected(&judge(&facts, &kernel, &Options::default())))
}
