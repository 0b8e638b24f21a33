//! `sym` and `dis`: names and code.

use vmcore_inspect::{
    FoundSymbol, InspectError, Span, disassemble, find_symbols, similar_symbol, symbol_addresses, symbol_at,
};
use vmcore_kernel::{Detail, Kernel, Snapshot, Stack};
use vmcore_memory::VirtAddr;
use vmcore_report::inspect::{Dis, Marker, Sym};

use super::{address, check_words, count, unread};
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

pub(crate) fn sym(arguments: &cli::Sym, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("sym", &arguments.words)?;
    check_words(&words, "sym", usize::MAX)?;
    let session = context.session(&input)?;
    let mut found = Vec::new();
    for word in &words {
        found.extend(if arguments.query { find_symbols(session.kernel, word) } else { symbols(session.kernel, word)? });
    }
    if found.is_empty() {
        let similar = words.iter().find_map(|word| similar_symbol(session.kernel, word));
        let meant = similar.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
        context.run.note(format_args!("no symbol has '{}' in its name{meant}", words.join("' or '")));
    }
    output.write(&Sym::new(&found))?;
    Ok(Status::NothingFound)
}

/// What a name or an address means; an error where it means nothing.
fn symbols(kernel: &Kernel<'_>, word: &str) -> Result<Vec<FoundSymbol>, Failure> {
    let named = symbol_addresses(kernel, word);
    if !named.is_empty() {
        return Ok(named);
    }
    let place = address(kernel, word)?;
    let symbol = symbol_at(kernel, place);
    let none = || Failure::new(format_args!("no symbol of the kernel or of a module's code covers {place}"));
    let none = || none().hint("`vtop` tells whether anything is mapped there");
    symbol.map(|symbol| vec![symbol]).ok_or_else(none)
}

pub(crate) fn dis(arguments: &cli::Dis, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("dis", &arguments.words)?;
    let (wanted, rest) = check_words(&words, "dis", 2)?;
    let session = context.session(&input)?;
    let kernel = session.kernel;
    let by_name = symbol_addresses(kernel, wanted).into_iter().find(|symbol| !symbol.per_cpu);
    let place = match &by_name {
        Some(symbol) => symbol.address,
        None => address(kernel, wanted)?,
    };
    if !kernel.is_code(place) {
        return Err(Failure::new(format_args!("there is no kernel code at {place}"))
            .hint("`sym` tells which symbol is there, `rd` shows memory that is not code"));
    }
    let span = match (arguments.reverse, rest.first()) {
        (true, _) => Span::UpTo,
        (false, Some(word)) => Span::Count(count(word)?),
        (false, None) if by_name.is_some() => Span::Function,
        // As `crash` has it: an address alone is one instruction.
        (false, None) => Span::Count(1),
    };
    let code = match disassemble(kernel, place, span) {
        Err(error @ InspectError::NoCode { .. }) => {
            let symbol = symbol_at(kernel, place);
            let empty = Dis::unread(symbol.as_ref().map(|symbol| &symbol.name), error.to_string());
            return unread(&empty, error, output);
        }
        read => read?,
    };
    let snapshot = session.snapshot(&context.run);
    let stacks = context.run.step("unwinding stacks", || {
        snapshot.stacks(kernel, &(0..snapshot.tasks.len()).collect::<Vec<_>>(), Detail::Symbols)
    });
    let places = Places::new(snapshot, &stacks);
    output.write(&Dis::new(&code, arguments.lines, &mut |from, to| places.between(from, to)))?;
    Ok(Status::NothingFound)
}

/// Where in the code all tasks are, by address.
struct Places<'s>(Vec<(VirtAddr, Marker<'s>)>);

impl<'s> Places<'s> {
    fn new(snapshot: &'s Snapshot, stacks: &[Stack]) -> Self {
        let mut places = Vec::new();
        for stack in stacks {
            let Some(task) = snapshot.tasks.get(stack.task) else { continue };
            let running_on = snapshot.cpu_running(task).map(|cpu| cpu.cpu);
            for (number, frame) in stack.frames.iter().enumerate() {
                // A return address is behind the call.
                let place = if frame.exact { frame.pc } else { frame.pc.wrapping_sub(1) };
                places.push((place, Marker { pid: task.pid, comm: &task.comm, running_on, frame: number }));
            }
        }
        places.sort_by_key(|(place, marker)| (*place, marker.running_on.is_none(), marker.pid));
        Self(places)
    }

    fn between(&self, from: VirtAddr, to: VirtAddr) -> Vec<Marker<'s>> {
        let start = self.0.partition_point(|(place, _)| *place < from);
        let inside = self.0.get(start..).unwrap_or_default().iter().take_while(|(place, _)| *place < to);
        inside.map(|(_, marker)| marker.clone()).collect()
    }
}
