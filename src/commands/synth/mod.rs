//! `synth`: a synthetic dump with its vmlinux, made from a scenario.

mod from;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use vmcore_os::open_input;
use vmcore_synth::scenario::{self, Arch, Scenario};
use vmcore_synth::{DumpForm, Generation, SynthError, build};

use crate::bounds;
use crate::cli::{self, Format};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, no_form, write_file};
use crate::status::Status;

/// The generation that is taken where none is named: the newest that the scenario can be on, of x86-64 where it names no machine.
fn default_kernel(scenario: &Scenario) -> &'static str {
    let machine = scenario.arch.unwrap_or(Arch::X86_64).architecture();
    let of_machine = |name: &&str| Generation::architecture_of(name) == machine;
    let newest = || Generation::names().filter(of_machine);
    newest().filter(|name| scenario.is_for(name)).last().or_else(|| newest().last()).unwrap_or_default()
}

/// Lists the scenarios, or makes the files of one.
pub(crate) fn run(arguments: &cli::Synth, global: &cli::Global, context: &Context) -> Result<Status, Failure> {
    if let Some(input) = arguments.input() {
        return from::run(arguments, &input, context, Output::new(global)?);
    }
    let name = arguments.scenario.as_deref().unwrap_or(Path::new("list"));
    if name == Path::new("list") {
        return list(Output::new(global)?);
    }
    let directory = global.output.as_deref().ok_or_else(|| {
        Failure::new("the directory to write to is missing")
            .hint("name it with --output: it is made if it is not there")
    })?;
    let scenario = with_options(read(name)?, arguments);
    let generation = Generation::named(arguments.kernel.as_deref().unwrap_or(default_kernel(&scenario)))?;
    let machine = context.run.step("building the machine", || build(&scenario, &generation, arguments.seed))?;
    let form = DumpForm::named(&arguments.form)?;
    let files = Files { directory, replace: global.force };
    files.prepare()?;
    context.run.step("writing the dump", || {
        for (index, name) in form.files().iter().enumerate() {
            let write = |mut out: &mut dyn Write| form.write(&machine, index, &mut out).map_err(io::Error::other);
            files.write(name, write, || ())?;
        }
        files.write("vmlinux", |out| out.write_all(&machine.vmlinux), || ())
    })?;
    let expected = |out: &mut dyn Write| {
        serde_json::to_writer_pretty(&mut *out, &scenario.expect)?;
        writeln!(out)
    };
    files.write("expected.json", expected, bounds::finish)?;
    Ok(Status::NothingFound)
}

fn list(output: Output) -> Result<Status, Failure> {
    let mut lines = Vec::new();
    for name in scenario::names() {
        lines.push((name, scenario::named(name)?.about));
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let kernels: Vec<_> = Generation::names().collect();
    let forms = DumpForm::names();
    match output.format() {
        Format::Text => (),
        Format::Json => {
            let scenarios: Vec<_> = lines.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect();
            let document = json!({ "scenarios": scenarios, "kernels": kernels, "forms": forms });
            output.write_with(|out| writeln!(out, "{document:#}"))?;
            return Ok(Status::NothingFound);
        }
        _ => return Err(no_form("other")),
    }
    output.write_with(|out| {
        for (name, about) in &lines {
            writeln!(out, "{name:width$}  {about}")?;
        }
        writeln!(out, "\nKernels: {}. Forms: {}.", kernels.join(", "), forms.join(", "))
    })?;
    Ok(Status::NothingFound)
}

/// A scenario by the name of its file, or one that comes with the program.
fn read(name: &Path) -> Result<Scenario, Failure> {
    if name.extension().is_none_or(|extension| extension != "toml") {
        let known = name.to_string_lossy();
        return scenario::named(&known).map_err(|error| {
            Failure::from(error).hint("see `vmcore-thp synth list`, or name a file that ends with .toml")
        });
    }
    let text = open_input(name)
        .and_then(io::read_to_string)
        .map_err(|error| Failure::new(format_args!("cannot read {}: {error}", name.display())))?;
    Ok(Scenario::parse(&text)?)
}

fn with_options(scenario: Scenario, arguments: &cli::Synth) -> Scenario {
    Scenario {
        cpus: arguments.cpus.unwrap_or(scenario.cpus),
        sleepers: arguments.tasks.unwrap_or(scenario.sleepers),
        memory_gib: arguments.memory.or(scenario.memory_gib),
        ..scenario
    }
}

/// The directory with what is made.
struct Files<'d> {
    directory: &'d Path,
    replace: bool,
}

impl Files<'_> {
    fn prepare(&self) -> Result<(), Failure> {
        fs::create_dir_all(self.directory)
            .map_err(|error| Failure::new(format_args!("cannot make {}: {error}", self.directory.display())))
    }

    fn write(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        complete: impl FnOnce(),
    ) -> Result<(), Failure> {
        write_file(&self.directory.join(name), self.replace, write, complete)
    }
}

impl From<SynthError> for Failure {
    fn from(error: SynthError) -> Self {
        Self::new(error)
    }
}
