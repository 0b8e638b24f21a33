//! `rd` and `search`: raw memory.

use vmcore_inspect::{InspectError, Needle, Space, read_words, search as look};
use vmcore_memory::PhysAddr;
use vmcore_report::inspect::{Rd, Search};

use super::{address, check_words, count, unread};
use crate::cli;
use crate::commands::tasks::{no_task, user_memory};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

pub(crate) fn rd(arguments: &cli::Rd, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("rd", &arguments.words)?;
    let (at, rest) = check_words(&words, "rd", 2)?;
    let count = rest.first().map(|word| count(word)).transpose()?.unwrap_or(1);
    let session = context.session(&input)?;
    let start = address(session.kernel, at)?;
    let space = match arguments.pid {
        _ if arguments.physical => Space::Physical(PhysAddr::new(start.get())),
        None => Space::Kernel(start),
        Some(pid) => {
            let tasks = &session.snapshot(&context.run).tasks;
            let task = tasks.iter().find(|task| task.pid == pid).ok_or_else(|| no_task(pid, session, context))?;
            Space::User { mm: user_memory(task)?, address: start }
        }
    };
    let width = arguments.bits.parse::<u64>().unwrap_or(64) / 8;
    let words = match read_words(session.kernel, space, count, width) {
        Err(error @ InspectError::Read { .. }) => return unread(&Rd::unread(width, error.to_string()), error, output),
        read => read?,
    };
    output.write(&Rd::new(&words, arguments.symbols))?;
    Ok(Status::NothingFound)
}

pub(crate) fn search(arguments: &cli::Find, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("search", &arguments.words)?;
    let (wanted, _) = check_words(&words, "search", 1)?;
    if arguments.text && wanted.is_empty() {
        return Err(Failure::new("there is no text to look for").hint("an empty text would match everywhere"));
    }
    let session = context.session(&input)?;
    let needle = if arguments.text {
        Needle::Text(wanted.as_bytes().to_vec())
    } else {
        let value = address(session.kernel, wanted)?.get();
        let width = arguments.bits.parse::<usize>().unwrap_or(64) / 8;
        Needle::Value { value, mask: arguments.mask, width }
    };
    let result = context.run.step("searching memory", || look(session.kernel, &needle, arguments.limit));
    output.write(&Search::new(&result, arguments.text))?;
    Ok(Status::NothingFound)
}
