//! `struct` and `p`: typed values.

use vmcore_debuginfo::Type;
use vmcore_inspect::{
    Content, Evaluated, Expression, InspectError, Member, Value, evaluate, find_type, layout, read_value, select,
};
use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;
use vmcore_report::inspect::{P, Struct};

use super::{address, check_words, count, offset};
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

/// Objects that are shown one after another, and how much memory they may take: of a large type, fewer.
const MAX_OBJECTS: u64 = 10_000;
const MAX_BYTES: u64 = 2 << 20;

pub(crate) fn structure(arguments: &cli::Struct, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split(&arguments.words)?;
    let (wanted, rest) = check_words(&words, "struct", 3)?;
    let session = context.session(&input)?;
    let kernel = session.kernel;
    let shown = Shown::parse(kernel, wanted)?;
    let form = layout(shown.ty);
    let [at, more @ ..] = rest else {
        if shown.members.is_empty() {
            output.write(&Struct::layout(&form))?;
            return Ok(Status::NothingFound);
        }
        let members = form
            .members
            .into_iter()
            .filter(|member| shown.members.iter().any(|path| member.name.as_deref() == path.split(['.', '[']).next()));
        let form = vmcore_inspect::Layout { members: members.collect(), ..form };
        if form.members.is_empty() {
            let name = shown.members.first().cloned().unwrap_or_default();
            return Err(InspectError::no_member(shown.ty, &name).into());
        }
        output.write(&Struct::layout(&form))?;
        return Ok(Status::NothingFound);
    };
    let link = arguments.link.as_deref().map(|word| offset(kernel, word)).transpose()?.unwrap_or_default();
    let start = address(kernel, at)?.wrapping_sub(link);
    let count = more.first().map(|word| count(word)).transpose()?.unwrap_or(1);
    let step = shown.ty.size().unwrap_or_default();
    let most = (MAX_BYTES / step.max(1)).clamp(1, MAX_OBJECTS);
    if count > most {
        let message = format!("no more than {most} objects of this type can be shown at once");
        return Err(
            Failure::new(message).hint("show them in parts: each begins at the address after the last object's end")
        );
    }
    let places: Vec<_> = (0..count).map(|number| start.wrapping_add(number.wrapping_mul(step))).collect();
    let (mut objects, mut selected) = (Vec::new(), Vec::new());
    for place in places {
        if shown.members.is_empty() {
            objects.push(read_value(kernel, shown.ty, place));
        } else {
            selected.push(shown.read(kernel, place)?);
        }
    }
    output.write(&Struct::objects(&form, start, &objects, &selected, arguments.hex))?;
    let values = objects.iter().chain(selected.iter().flatten().map(|member| &member.value));
    Ok(status(values))
}

pub(crate) fn p(arguments: &cli::P, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split(&arguments.words)?;
    check_words(&words, "p", usize::MAX)?;
    // What is wrong with the words is said before a dump is opened.
    let expression = Expression::parse(&words.join(" "))?;
    let session = context.session(&input)?;
    let evaluated = evaluate(session.kernel, &expression)?;
    output.write(&P::new(expression.text(), &evaluated, arguments.hex))?;
    Ok(match &evaluated {
        Evaluated::One(member) => status([&member.value].into_iter()),
        Evaluated::PerCpu(values) => status(values.iter().filter_map(|value| value.value.as_ref().ok())),
    })
}

/// Values of which not one could be read answer nothing.
fn status<'v>(values: impl Iterator<Item = &'v Value>) -> Status {
    let is_empty = |content: &Content| matches!(content, Content::Members(members) if members.is_empty());
    let any = values.into_iter().any(|value| is_empty(&value.content) || is_readable(&value.content));
    if any { Status::NothingFound } else { Status::Inconclusive }
}

fn is_readable(content: &Content) -> bool {
    match content {
        Content::Unreadable(_) => false,
        // One without members, such as a lock that is not debugged, reads nothing.
        Content::Members(members) => members.iter().any(|member| is_readable(&member.value.content)),
        Content::Elements { runs, .. } => runs.iter().any(|run| is_readable(&run.value.content)),
        _ => true,
    }
}

/// A type, or some of its members: `task_struct`, `task_struct.pid,comm`.
pub(super) struct Shown<'k> {
    pub(super) ty: Type<'k>,
    members: Vec<String>,
}

impl<'k> Shown<'k> {
    pub(super) fn parse(kernel: &'k Kernel<'_>, text: &str) -> Result<Self, Failure> {
        let (type_name, members) = text.split_once('.').unwrap_or((text, ""));
        let ty = find_type(kernel, type_name)?;
        // `task_struct.pid,task_struct.comm` means the same.
        let prefix = format!("{type_name}.");
        let members = members.split(',').filter(|member| !member.is_empty());
        let members = members.map(|member| member.strip_prefix(&prefix).unwrap_or(member).to_owned());
        Ok(Self { ty, members: members.collect() })
    }

    /// The members of the object at `address`; without any, the object itself as one without a name.
    pub(super) fn read(&self, kernel: &Kernel<'_>, address: VirtAddr) -> Result<Vec<Member>, InspectError> {
        if self.members.is_empty() {
            let value = read_value(kernel, self.ty, address);
            return Ok(vec![Member { name: None, offset: 0, bits: None, value }]);
        }
        self.members.iter().map(|path| select(kernel, self.ty, address, path)).collect()
    }
}
