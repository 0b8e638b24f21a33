//! `list` and `tree`: objects that are linked.

use vmcore_inspect::{
    Linked, ListOptions, ListStart, Member, TreeKind, list as walk_list, member_offset, tree as walk_tree,
};
use vmcore_kernel::Kernel;
use vmcore_report::inspect::Objects;

use super::values::Shown;
use super::{address, check_words, offset};
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

pub(crate) fn list(arguments: &cli::List, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("list", &arguments.words)?;
    let (first, rest) = check_words(&words, "list", 2)?;
    let session = context.session(&input)?;
    let kernel = session.kernel;
    let (link, start) = match rest.first() {
        Some(start) => (Some(first), start.as_str()),
        None => (arguments.offset.as_deref(), first),
    };
    if rest.is_empty() && is_member(kernel, start) {
        return Err(without_start(start, &context.command("list", session)));
    }
    let start = address(kernel, start)?;
    let options = ListOptions {
        offset: link.map(|word| offset(kernel, word)).transpose()?.unwrap_or_default(),
        reverse: arguments.reverse,
        end: arguments.end.as_deref().map(|word| address(kernel, word)).transpose()?,
        limit: arguments.limit,
    };
    let start = match (arguments.head, arguments.object) {
        (true, _) => ListStart::Head(start),
        (false, true) => ListStart::Object(start),
        (false, false) => ListStart::Chain(start),
    };
    let linked = walk_list(kernel, start, options);
    write(kernel, &linked, &arguments.show, arguments.hex, output)
}

/// Whether a word says where a link is in an object, TYPE.MEMBER, and is no variable.
fn is_member(kernel: &Kernel<'_>, word: &str) -> bool {
    let Some((type_name, path)) = word.split_once('.') else { return false };
    kernel.symbol(type_name).is_none() && member_offset(kernel, type_name, path).is_ok()
}

fn without_start(link: &str, list: &str) -> Failure {
    let object = if link.starts_with("task_struct.") { "init_task" } else { "ADDRESS" };
    Failure::new(format_args!("the start of the list is missing: {link} only says where the link is in an object"))
        .hint(format_args!(
            "name an object on the list: `{list} -h {link} {object}`; or, with -H, the head of the list"
        ))
}

pub(crate) fn tree(arguments: &cli::Tree, context: &Context, output: Output) -> Result<Status, Failure> {
    let (input, words) = context.split("tree", &arguments.words)?;
    let (root, _) = check_words(&words, "tree", 1)?;
    let session = context.session(&input)?;
    let kernel = session.kernel;
    let root = address(kernel, root)?;
    let kind = match arguments.kind {
        cli::TreeType::Rbtree if arguments.node => TreeKind::RedBlackNode,
        cli::TreeType::Rbtree => TreeKind::RedBlack,
        cli::TreeType::Xarray => TreeKind::XArray,
        cli::TreeType::Maple => TreeKind::Maple,
    };
    let node = arguments.offset.as_deref().map(|word| offset(kernel, word)).transpose()?.unwrap_or_default();
    let linked = walk_tree(kernel, kind, root, node, arguments.limit)?;
    write(kernel, &linked, &arguments.show, arguments.hex, output)
}

fn write(kernel: &Kernel<'_>, linked: &Linked, show: &[String], hex: bool, output: Output) -> Result<Status, Failure> {
    let shown = show.iter().map(|text| Shown::parse(kernel, text)).collect::<Result<Vec<_>, _>>()?;
    let mut members: Vec<Vec<Member>> = Vec::new();
    for (object, _) in linked.objects.iter().filter(|_| !shown.is_empty()) {
        let mut all = Vec::new();
        for shown in &shown {
            all.extend(shown.read(kernel, *object)?);
        }
        members.push(all);
    }
    output.write(&Objects::new(linked, &members, hex))?;
    let nothing = linked.objects.is_empty() && linked.problem.is_some();
    Ok(if nothing { Status::Inconclusive } else { Status::NothingFound })
}
