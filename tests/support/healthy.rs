//! Whether a machine that hangs is called healthy for want of a page: where the page is not in the dump, and where it is there and
//! holds nothing but zeroes.

use vmcore_debuginfo::Vmlinux;
use vmcore_diagnose::{Confidence, Options, collect, judge};
use vmcore_dump::Dump;
use vmcore_kernel::{Kernel, KernelChoice, Snapshot};
use vmcore_memory::ReadPhysical;

use crate::holed::{Hole, Holed};

/// Makes holes of the pages that a verdict is made from, of at most `most` of them: how many there were a kernel with, and
/// those with which the machine is healthy.
pub(crate) fn tried(dump: &Dump, vmlinux: &Vmlinux, most: usize) -> (usize, Vec<String>) {
    let holed = Holed::new(dump);
    let whole = confidence(dump, vmlinux, &holed).unwrap();
    assert_ne!(whole, Confidence::None, "it is healthy");
    let frames = holed.take_read();
    let step = frames.len().div_ceil(most).max(1);
    let (mut pages, mut wrong) = (0, Vec::new());
    for (frame, hole) in frames.iter().step_by(step).flat_map(|frame| [(*frame, Hole::Missing), (*frame, Hole::Zeroes)])
    {
        let found = holed.with(frame, hole, || confidence(dump, vmlinux, &holed));
        pages += usize::from(found.is_some());
        if found == Some(Confidence::None) {
            wrong.push(format!("page {frame:#x} {hole:?}"));
        }
    }
    (pages, wrong)
}

/// How sure the verdict is; `None` where there is no kernel to be found.
fn confidence(dump: &Dump, vmlinux: &Vmlinux, memory: &dyn ReadPhysical) -> Option<Confidence> {
    let kernel = Kernel::open_through(dump, vmlinux, memory, KernelChoice::default()).ok()?;
    let snapshot = Snapshot::read(&kernel);
    let facts = collect(&kernel, &snapshot);
    Some(judge(&facts, &kernel, &Options::default()).verdict.confidence)
}
