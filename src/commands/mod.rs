//! One module for each command: which data it needs, and which report it makes of them.

mod analyze;
mod bt;
mod completions;
mod distill;
mod info;
mod inspect;
mod lists;
mod log;
mod log_input;
mod machine;
mod manual;
mod profile;
mod state;
mod synth;
mod tasks;
mod tooling;
mod triage;
mod vtop;

use clap::CommandFactory;
use vmcore_inspect::state as lists_of_state;

use crate::arguments::Parsed;
use crate::bounds;
use crate::cli::{self, Cli, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::logging;
use crate::output::Output;
use crate::shell;
use crate::status::Status;

/// Runs the command that was asked for.
pub(crate) fn run(parsed: &Parsed) -> Result<Status, Failure> {
    let cli = &parsed.cli;
    logging::start(cli.global.verbose);
    // Of `triage` the bounds are each dump's.
    if !matches!(cli.command, Command::Triage(_)) {
        bounds::set(&cli.global)?;
    }
    let context = Context::new(&cli.global);
    parsed.note.iter().for_each(|note| context.run.note(note));
    dispatch(cli, &context)
}

/// Runs a command, in a shell on the dump that is open there.
pub(crate) fn dispatch(cli: &Cli, context: &Context) -> Result<Status, Failure> {
    // Those whose output is a directory.
    match &cli.command {
        Command::Synth(arguments) => return synth::run(arguments, &cli.global, context),
        Command::Man { all: true, .. } => return manual::all(Cli::command(), &cli.global),
        _ => (),
    }
    let output = context.redirected(Output::new(&cli.global)?);
    match &cli.command {
        Command::Analyze(arguments) => analyze::run(arguments, context, output),
        Command::Triage(arguments) => triage::run(arguments, &cli.global, context, output),
        Command::Bt(arguments) => bt::run(arguments, context, output),
        Command::Ps(arguments) => lists::ps(arguments, context, output),
        Command::Mod(input) => state::of_kernel(lists_of_state::modules, input, context, output),
        Command::Runq(input) => lists::runq(input, context, output),
        Command::Dmesg(arguments) => lists::dmesg(arguments, context, output),
        Command::Log(arguments) => log::run(arguments, context, output),
        Command::Info(input) => info::run(input, context, output),
        Command::Vtop(arguments) => vtop::run(arguments, context, output),
        Command::Struct(arguments) => inspect::structure(arguments, context, output),
        Command::P(arguments) => inspect::p(arguments, context, output),
        Command::Rd(arguments) => inspect::rd(arguments, context, output),
        Command::Sym(arguments) => inspect::sym(arguments, context, output),
        Command::Dis(arguments) => inspect::dis(arguments, context, output),
        Command::List(arguments) => inspect::list(arguments, context, output),
        Command::Tree(arguments) => inspect::tree(arguments, context, output),
        Command::Search(arguments) => inspect::search(arguments, context, output),
        Command::Timer(input) => state::of_kernel(lists_of_state::timers, input, context, output),
        Command::Irq(input) => state::of_tasks(lists_of_state::interrupts, input, context, output),
        Command::Waitq(arguments) => state::waitq(arguments, context, output),
        Command::Workqueue(input) => state::of_tasks(lists_of_state::workqueues, input, context, output),
        Command::Locks(input) => state::locks(input, context, output),
        Command::Rcu(input) => state::of_tasks(lists_of_state::rcu, input, context, output),
        Command::Dev(input) => state::of_kernel(lists_of_state::disks, input, context, output),
        Command::Files(arguments) => state::files(arguments, context, output),
        Command::Mount(input) => state::mount(input, context, output),
        Command::Net(input) => state::of_kernel(lists_of_state::network, input, context, output),
        Command::Kmem(input) => state::of_tasks(lists_of_state::memory, input, context, output),
        Command::Swap(input) => state::of_kernel(lists_of_state::swap, input, context, output),
        Command::Distill(arguments) => distill::run(arguments, context, output),
        Command::Profile(arguments) => profile::run(arguments, context, output),
        Command::Synth(arguments) => synth::run(arguments, &cli.global, context),
        Command::Shell(arguments) => shell::run(arguments, &cli.global, context, dispatch),
        Command::Mcp(arguments) => serve(arguments, context),
        Command::Explain { issue } => tooling::explain(issue.as_deref(), output),
        Command::DrgnScript(arguments) => analyze::drgn_script(arguments, context, output),
        Command::Schema { command } => tooling::schema(*command, output),
        Command::Completions { shell } => completions::run(*shell, Cli::command(), output),
        Command::Man { command, .. } => manual::one(command.as_deref(), Cli::command(), output),
    }
}

#[cfg(feature = "mcp")]
fn serve(arguments: &cli::Mcp, context: &Context) -> Result<Status, Failure> {
    crate::mcp::run(arguments, context, dispatch)
}

#[cfg(not(feature = "mcp"))]
fn serve(_: &cli::Mcp, _: &Context) -> Result<Status, Failure> {
    Err(Failure::new("this build has no server for the Model Context Protocol")
        .hint("build it with `cargo install --path . --features mcp`"))
}
