//! The known issues, as data to be reviewed: one entry each, every fact with where it is from.
//!
//! To add one: write a [`Bug`], put it into [`BUGS`] under the name that its detector gives the verdict, and cite
//! the commits and notices that it rests on. Say nothing that you have not looked up: what is not known about a
//! series or a distribution is left out, and is answered with "unknown".

use crate::Issue;

/// A bug that is known, and what to do about it.
pub(super) struct Bug {
    /// The verdict that it explains.
    pub(super) verdict: Issue,
    /// The abbreviated hash of the fix upstream.
    pub(super) commit: &'static str,
    /// The subject of that commit.
    pub(super) subject: &'static str,
    /// How it comes about, in a sentence or two.
    pub(super) mechanism: &'static str,
    /// Which kernels have it, in words.
    pub(super) affected: &'static str,
    /// The first mainline series with the fix.
    pub(super) fixed_in: [u32; 2],
    /// The first mainline series with the bug.
    pub(super) since: [u32; 2],
    /// For stable series: the first release with the fix, or that it never came.
    pub(super) stable: &'static [Stable],
    /// What vendors say about ranges of their own releases. The first that fits counts.
    pub(super) vendors: &'static [Vendor],
    /// Distributions whose releases count their own builds of one upstream series, and the first build with the fix.
    pub(super) distributions: &'static [Distribution],
    /// What helps until the fix is in, most effective first.
    pub(super) workarounds: &'static [Advice],
}

/// What became of the fix in a stable series.
pub(super) struct Stable {
    /// The series.
    pub(super) series: [u32; 2],
    /// The patch level of the first release with the fix; `None` where it was decided against.
    pub(super) fixed: Option<u32>,
}

/// A distribution's builds of one series: `5.10.0-32-cloud-amd64` is build 32.
pub(super) struct Distribution {
    /// Which.
    pub(super) name: &'static str,
    /// What its releases begin with.
    pub(super) base: &'static [u32],
    /// What they end with.
    pub(super) flavours: &'static [&'static str],
    /// The first build with the fix.
    pub(super) fixed: u32,
    /// How to get it. `{flavour}` is one of the flavours.
    pub(super) command: &'static str,
}

/// A vendor's statement about a range of its releases.
pub(super) struct Vendor {
    /// Who.
    pub(super) name: &'static str,
    /// The tag in its releases: `al7` of `4.19.91-23.al7.x86_64`.
    pub(super) tag: &'static str,
    /// The first release of the range, as base and build; `None` for all before its end.
    pub(super) from: Option<Bound>,
    /// The end of the range, and whether it is part of it.
    pub(super) to: (Bound, bool),
    /// What the vendor says to do.
    pub(super) advice: &'static [Advice],
}

/// A release as base and build: `(&[4, 19, 91], &[19, 1])`.
pub(super) type Bound = (&'static [u32], &'static [u32]);

/// Something to do.
pub(super) struct Advice {
    /// In words.
    pub(super) action: &'static str,
    /// The exact command. `{build}` is what follows the last `-` of the release.
    pub(super) command: Option<&'static str>,
    /// What it achieves.
    pub(super) why: &'static str,
}

/// All of them.
pub(super) const BUGS: [Bug; 1] = [HEAD_PAGE];

/// Sources: mainline commit ffc90cbb2970 (merged for 5.13, `Fixes:` ba98828088ad of 4.5). Stable: the reviews of
/// 5.12.14, 5.10.47 and 5.4.129 of 28 June 2021 carry it; for 4.19 and older its authors decided against it, as
/// these series have no `put_and_wait_on_page_locked()` (stable list, "mm/thp commits: please wait a few days", 25 June
/// 2021). Debian 11: the changelog of its `linux` source has the fix with 5.10.47 in 5.10.70-1, which is also where the
/// build became 9; 5.10.46-5 before it was build 8. Alibaba Cloud Linux 2: the vendor's notice about page faults that hang
/// the system, which names both ranges.
const HEAD_PAGE: Bug = Bug {
    verdict: Issue::ThpLivelock,
    commit: "ffc90cbb2970",
    subject: "mm, thp: use head page in __migration_entry_wait()",
    mechanism: "While a huge page is being split, its page-table entries are migration entries. A fault on one that names \
                a tail page does not wait, because a tail has no reference count to take; it faults again at once. Taken \
                in kernel mode where kernel code is not preempted, it keeps the CPU from the very task that splits.",
    affected: "kernels from 4.5 to 5.12 without a backport, where kernel code is not preempted",
    fixed_in: [5, 13],
    since: [4, 5],
    stable: &[
        Stable { series: [5, 12], fixed: Some(14) },
        Stable { series: [5, 10], fixed: Some(47) },
        Stable { series: [5, 4], fixed: Some(129) },
        Stable { series: [4, 19], fixed: None },
        Stable { series: [4, 14], fixed: None },
        Stable { series: [4, 9], fixed: None },
    ],
    vendors: &[
        Vendor {
            name: "Alibaba Cloud Linux 2",
            tag: "al7",
            from: None,
            to: ((&[4, 19, 91], &[19, 1]), false),
            advice: &[
                Advice {
                    action: "update the kernel",
                    command: Some("yum update kernel"),
                    why: "the vendor has no hotfix for releases before 4.19.91-19.1.al7",
                },
                Advice {
                    action: "reboot into it; if it is 4.19.91-23.al7 or older, install the hotfix for it, too",
                    command: Some("reboot"),
                    why: "the running kernel stays as it is until then",
                },
            ],
        },
        Vendor {
            name: "Alibaba Cloud Linux 2",
            tag: "al7",
            from: Some((&[4, 19, 91], &[19, 1])),
            to: ((&[4, 19, 91], &[23]), true),
            advice: &[Advice {
                action: "install the vendor's hotfix",
                command: Some("yum install -y kernel-hotfix-5902278-{build}"),
                why: "it fixes the running kernel without a reboot",
            }],
        },
    ],
    distributions: &[Distribution {
        name: "Debian 11",
        base: &[5, 10, 0],
        flavours: &["amd64", "cloud-amd64", "rt-amd64"],
        fixed: 9,
        command: "apt-get update && apt-get install linux-image-{flavour} && reboot",
    }],
    workarounds: &[Advice {
        action: "until then, use huge pages only where a program asks for them",
        command: Some("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
        why: "without huge pages in these processes there is nothing to split; turning kernel.softlockup_panic off \
              would only hide the hang",
    }],
};
