//! A vmlinux or profile that is named among the dumps, as it is behind the dump of `analyze`: it is used for the dumps of its
//! build, and where there are none, somebody has to hear of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vmcore_debuginfo::Vmlinux;
use vmcore_kernel::hex;
use vmcore_triage::{ItemKind, Outcome};

use crate::context::Context;

/// What every kernel has, and nothing else.
const OF_A_KERNEL: &str = "linux_banner";

/// The debug information of one kernel.
pub(super) struct Kernel {
    pub(super) path: PathBuf,
    build_id: Option<String>,
}

impl Kernel {
    /// `None` where the file is none that a dump could be read with.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let vmlinux = Vmlinux::open(path).ok()?;
        vmlinux.symbols().address(OF_A_KERNEL)?;
        Some(Self { path: path.to_owned(), build_id: vmlinux.build_id().map(hex) })
    }

    /// Whether all dumps are of other builds, as far as can be told.
    fn is_of_none(&self, builds: &BTreeSet<Option<String>>) -> bool {
        let is_other = |build: &Option<String>| build.is_some() && *build != self.build_id;
        self.build_id.is_some() && builds.iter().all(is_other)
    }
}

/// What a run shows of whether the kernels that were named were of use.
#[derive(Default)]
pub(super) struct Used {
    builds: BTreeSet<Option<String>>,
    /// Dumps that had a row.
    before: usize,
}

impl Used {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let row = &outcome.row;
        if row.kind == ItemKind::Dump && row.failure.is_none() {
            self.builds.insert(row.summary.build_id.clone());
            self.before += usize::from(!outcome.of_this_run);
        }
    }

    /// Says what was not used.
    pub(super) fn tell(&self, kernels: &[Kernel], context: &Context) {
        for kernel in kernels.iter().filter(|kernel| kernel.is_of_none(&self.builds)) {
            let id = kernel.build_id.as_deref().unwrap_or_default();
            context.run.warn(format_args!("{} is not used: no dump is of its build, {id}", kernel.path.display()));
        }
        if !kernels.is_empty() && self.before > 0 {
            context.run.note(format_args!(
                "{} of the dumps had been judged before, maybe without what is named now: --force judges them again",
                self.before
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_of_no_dump_only_where_that_can_be_told() {
        let kernel = |id: Option<&str>| Kernel { path: "vmlinux".into(), build_id: id.map(str::to_owned) };
        let builds = |ids: &[Option<&str>]| ids.iter().map(|id| id.map(str::to_owned)).collect::<BTreeSet<_>>();
        assert!(kernel(Some("a")).is_of_none(&builds(&[Some("b"), Some("c")])));
        assert!(!kernel(Some("a")).is_of_none(&builds(&[Some("b"), Some("a")])));
        // A kernel before 5.9 does not tell its build-id in a dump.
        assert!(!kernel(Some("a")).is_of_none(&builds(&[Some("b"), None])));
        assert!(!kernel(None).is_of_none(&builds(&[Some("b")])));
    }

    #[test]
    fn a_profile_is_a_kernel_and_a_program_is_not() {
        let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64");
        assert!(Kernel::of(&bundled.join("vmlinux.profile")).is_some_and(|kernel| kernel.build_id.is_some()));
        assert!(Kernel::of(Path::new("/proc/self/exe")).is_none());
        assert!(Kernel::of(&bundled.join("sysrq.vmcore")).is_none());
    }
}
