//! `vtop`: an address translated.

use vmcore_kernel::paging::{Outcome, Walk};
use vmcore_kernel::{Gap, Kernel, Page};
use vmcore_memory::VirtAddr;
use vmcore_report::vtop::Vtop;

use crate::cli;
use crate::commands::inspect::address;
use crate::commands::tasks::{no_task, user_memory};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;
use crate::status::Status;

pub(crate) fn run(arguments: &cli::Vtop, context: &Context, output: Output) -> Result<Status, Failure> {
    context.check_order("vtop", &arguments.words)?;
    let (input, word) = arguments.split()?;
    let session = context.session(&input)?;
    let address = address(session.kernel, &word)?;
    let mut gaps = session.kernel.gaps().to_vec();
    let walk = walk(session, context, address, arguments.pid)?;
    let (page, head) = pages(session.kernel, &walk, &mut gaps);
    context.run.warn_gaps(&gaps);
    output.write(&Vtop::new(arguments.pid, &walk, page.as_ref(), head.as_ref(), &gaps))?;
    Ok(match walk.outcome {
        Outcome::Unreadable(..) => Status::Inconclusive,
        _ => Status::NothingFound,
    })
}

fn walk(session: &Session, context: &Context, address: VirtAddr, pid: Option<i32>) -> Result<Walk, Failure> {
    let kernel = session.kernel;
    let Some(pid) = pid else {
        if !address.is_kernel_half() {
            return Err(Failure::new(format_args!("{address} is a user address, and every process has its own"))
                .hint("say whose with --pid N"));
        }
        return kernel
            .walk_kernel(address)
            .ok_or_else(|| Failure::inconclusive("the kernel's page tables are not in the dump"));
    };
    let tasks = &session.snapshot(&context.run).tasks;
    let task = tasks.iter().find(|task| task.pid == pid).ok_or_else(|| no_task(pid, session, context))?;
    let mm = user_memory(task)?;
    kernel.walk_user(mm, address).map_err(|error| {
        Failure::inconclusive(format_args!("the page tables of pid {pid} (mm_struct {mm}) cannot be read: {error}"))
    })
}

/// The `struct page` of what the walk led to, and of its head where it is a tail.
fn pages(kernel: &Kernel<'_>, walk: &Walk, gaps: &mut Vec<Gap>) -> (Option<Page>, Option<Page>) {
    let pfn = match walk.outcome {
        Outcome::Mapped(physical) => Some(physical.frame(kernel.page_shift())),
        _ => walk.steps.last().and_then(|step| step.meaning.pfn(kernel.page_shift())),
    };
    let mut read = |address: VirtAddr| match kernel.page(address) {
        Ok(page) => Some(page),
        Err(error) => {
            gaps.push(Gap::new(format!("struct page at {address}"), error));
            None
        }
    };
    let page = pfn.and_then(|pfn| kernel.page_address(pfn)).and_then(&mut read);
    let head = page.as_ref().and_then(|page| page.head).and_then(&mut read);
    (page, head)
}
