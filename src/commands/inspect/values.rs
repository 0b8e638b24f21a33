//! `struct` and `p`: typed values.

use vmcore_debuginfo::Type;
use vmcore_inspect::{
    Content, Evaluated, Expression, InspectError, Member, Value, evaluate, find_type, layout, read_value, select,
    variable_type,
};
use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;
use vmcore_report::inspect::{P, Struct};

use super::{addresses, check_words, count, offset};
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

/// Objects that are shown one after another, and how much memory they may take: of a large type, fewer.
const MAX_OBJECTS: u64 = 10_000;
const MAX_BYTES: u64 = 2 << 20;

pub(crate) fn structure(arguments: &cli::Struct, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("struct", &arguments.words)?;
    let (wanted, rest) = check_words(&words, "struct", 3)?;
    let kernel = context.session(&input)?.kernel;
    let Some((at, more)) = rest.split_first() else { return what_it_is(kernel, wanted, output) };
    let shown = Shown::parse(kernel, wanted)?;
    let link = arguments.link.as_deref().map(|word| offset(kernel, word)).transpose()?.unwrap_or_default();
    let starts = addresses(kernel, at)?;
    let count = more.first().map(|word| count(word)).transpose()?.unwrap_or(1);
    let places = shown.places(&starts, link, count)?;
    let (mut objects, mut selected) = (Vec::new(), Vec::new());
    for (_, place) in &places {
        if shown.members.is_empty() {
            objects.push(read_value(kernel, shown.ty, *place));
        } else {
            selected.push(shown.read(kernel, *place)?);
        }
    }
    let form = layout(shown.ty);
    let first = places.first().map_or(VirtAddr::new(0), |(_, place)| *place);
    let cpus = places.iter().filter_map(|(cpu, _)| *cpu).collect();
    output.write(&Struct::objects(&form, first, &objects, &selected, arguments.hex).on_cpus(cpus))?;
    let values = objects.iter().chain(selected.iter().flatten().map(|member| &member.value));
    Ok(status(values))
}

/// The layout of a type or of some of its members; that of a variable, where no type has the name.
fn what_it_is(kernel: &Kernel<'_>, wanted: &str, output: Output) -> Result<Status, Failure> {
    let shown = match Shown::parse(kernel, wanted) {
        Ok(shown) => shown,
        Err(error) => return variable(kernel, wanted, output)?.ok_or(error),
    };
    let mut form = layout(shown.ty);
    if let Some(name) = shown.members.first() {
        let is_meant = |name: Option<&str>| shown.members.iter().any(|path| name == path.split(['.', '[']).next());
        form.members.retain(|member| is_meant(member.name.as_deref()));
        if form.members.is_empty() {
            return Err(InspectError::no_member(shown.ty, name).into());
        }
    }
    output.write(&Struct::layout(&form))?;
    Ok(Status::NothingFound)
}

/// The declaration of a variable, and what its type looks like; `None` where no variable has the name.
fn variable(kernel: &Kernel<'_>, name: &str, output: Output) -> Result<Option<Status>, Failure> {
    let Some(address) = kernel.symbol(name) else { return Ok(None) };
    if kernel.is_image_text(address) {
        return Err(Failure::new(format_args!("'{name}' is a function, and types of functions are not read"))
            .hint(format_args!("`dis {name}` shows its code")));
    }
    let ty = variable_type(kernel, name).ok_or_else(|| InspectError::Untyped(name.to_owned()))?;
    output.write(&Struct::layout(&layout(ty)).of_variable(&ty.declare(name)))?;
    Ok(Some(Status::NothingFound))
}

pub(crate) fn p(arguments: &cli::P, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("p", &arguments.words)?;
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

    /// Where so many objects are from each of `starts` on, each of which is `link` bytes into its object.
    fn places(
        &self,
        starts: &[(Option<u32>, VirtAddr)],
        link: u64,
        count: u64,
    ) -> Result<Vec<(Option<u32>, VirtAddr)>, Failure> {
        let step = self.ty.size().unwrap_or_default();
        let most = (MAX_BYTES / step.max(1)).clamp(1, MAX_OBJECTS);
        if count.saturating_mul(starts.len() as u64) > most {
            return Err(Failure::new(format_args!("no more than {most} objects of this type can be shown at once"))
                .hint("show them in parts: each begins at the address after the last object's end"));
        }
        let from = |start: VirtAddr| {
            (0..count).map(move |number| start.wrapping_sub(link).wrapping_add(number.wrapping_mul(step)))
        };
        Ok(starts.iter().flat_map(|(cpu, start)| from(*start).map(|place| (*cpu, place))).collect())
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
