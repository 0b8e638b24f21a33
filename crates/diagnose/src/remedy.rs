//! What is known of the bug, whether this kernel has it, and what to do about it.
//!
//! This is the one place that looks at a release string. Distributions backport fixes, so a release below the one that
//! was fixed upstream says nothing; one at or above it has the fix, as kernels do not lose mainline commits.

use crate::{KnownIssue, Remedy};

/// The first mainline release with commit ffc90cbb2970.
const FIXED_IN: (u32, u32) = (5, 13);

/// What a vendor says about a range of its own releases.
enum Vendor {
    /// Alibaba Cloud Linux 2 before 4.19.91-19.1.al7: a newer kernel.
    Update,
    /// Alibaba Cloud Linux 2 from 4.19.91-19.1.al7 to 4.19.91-23.al7, both included: a hotfix for the running kernel.
    Hotfix,
}

/// The upstream bug behind the livelock on kernels that do not preempt kernel code.
pub(crate) fn livelock_issue(release: Option<&str>) -> KnownIssue {
    KnownIssue {
        id: "ffc90cbb2970".to_owned(),
        affected: "kernels before 5.13 without a backport, where kernel code is not preempted".to_owned(),
        fixed_by: "mainline commit ffc90cbb2970 (\"mm, thp: use head page in __migration_entry_wait()\")".to_owned(),
        in_this_kernel: release.and_then(has_the_bug),
    }
}

/// What helps against the livelock, most effective first.
pub(crate) fn livelock_remedies(release: Option<&str>) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    match (release.and_then(vendor), release.and_then(has_the_bug)) {
        (Some(Vendor::Hotfix), _) => remedies.push(hotfix(release.unwrap_or_default())),
        (Some(Vendor::Update), _) => remedies.push(remedy(
            "update the kernel, then reboot",
            Some("yum update kernel"),
            "the vendor's fix is in its newer kernels",
        )),
        (None, Some(false)) => remedies.push(remedy(
            "keep this dump and report it to the kernel's vendor",
            None,
            "this kernel has the fix of the known bug: another path retries the fault here",
        )),
        (None, _) => remedies.push(remedy(
            "install a kernel that waits on the head page (mainline commit ffc90cbb2970 or its backport), then reboot",
            None,
            "a fault on a tail page of a huge page under split then sleeps instead of retrying at once",
        )),
    }
    remedies.push(remedy(
        "until then, use huge pages only where a program asks for them",
        Some("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
        "without huge pages in these processes there is nothing to split",
    ));
    remedies
}

fn remedy(action: &str, command: Option<&str>, why: &str) -> Remedy {
    Remedy { action: action.to_owned(), command: command.map(str::to_owned), why: why.to_owned() }
}

fn hotfix(release: &str) -> Remedy {
    let build = release.rsplit('-').next().unwrap_or_default();
    // The release is from the dump: only what a release may hold goes into a command.
    let safe = build.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    let command = safe.then(|| format!("yum install -y kernel-hotfix-5902278-{build}"));
    remedy("install the vendor's hotfix", command.as_deref(), "it fixes the running kernel without a reboot")
}

/// Whether a kernel of this release has the bug; `None` where the release does not tell.
fn has_the_bug(release: &str) -> Option<bool> {
    if vendor(release).is_some() {
        return Some(true);
    }
    (version(release)? >= FIXED_IN).then_some(false)
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The vendor's range that a release is in. `4.19.91-19.1.al7.x86_64` is build 19.1 of the base 4.19.91.
fn vendor(release: &str) -> Option<Vendor> {
    let (base, rest) = release.split_once('-')?;
    let (build, _) = rest.split_once(".al7")?;
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    let (base, build) = (numbers(base)?, numbers(build)?);
    match (base.as_slice().cmp(&[4, 19, 91]), build.as_slice()) {
        (std::cmp::Ordering::Less, _) => Some(Vendor::Update),
        (std::cmp::Ordering::Equal, build) if build < [19, 1].as_slice() => Some(Vendor::Update),
        (std::cmp::Ordering::Equal, build) if build <= [23].as_slice() => Some(Vendor::Hotfix),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_command(release: &str) -> Option<String> {
        livelock_remedies(Some(release)).swap_remove(0).command
    }

    #[test]
    fn the_vendors_ranges() {
        let hotfix = |build: &str| Some(format!("yum install -y kernel-hotfix-5902278-{build}"));
        assert_eq!(first_command("4.19.91-19.1.al7.x86_64"), hotfix("19.1.al7.x86_64"));
        assert_eq!(first_command("4.19.91-22.2.al7.x86_64"), hotfix("22.2.al7.x86_64"));
        assert_eq!(first_command("4.19.91-23.al7.x86_64"), hotfix("23.al7.x86_64"));
        assert_eq!(first_command("4.19.91-19.al7.x86_64").as_deref(), Some("yum update kernel"));
        assert_eq!(first_command("4.19.91-18.al7.x86_64").as_deref(), Some("yum update kernel"));
        assert_eq!(first_command("4.19.57-15.1.al7.x86_64").as_deref(), Some("yum update kernel"));
        assert_eq!(first_command("4.19.91-23.1.al7.x86_64"), None);
        assert_eq!(first_command("4.19.91-26.al7.x86_64"), None);
    }

    #[test]
    fn whether_this_kernel_has_the_bug() {
        let bug = |release| livelock_issue(Some(release)).in_this_kernel;
        assert_eq!(bug("4.19.91-19.1.al7.x86_64"), Some(true));
        assert_eq!(bug("6.1.0-56-cloud-amd64"), Some(false));
        assert_eq!(bug("5.13.0"), Some(false));
        // Before the fix, but perhaps with a backport.
        assert_eq!(bug("5.10.0-30-amd64"), None);
        assert_eq!(bug("4.19.91-26.al7.x86_64"), None);
        assert_eq!(bug("nonsense"), None);
        assert_eq!(livelock_issue(None).in_this_kernel, None);
    }

    #[test]
    fn a_hostile_release_gets_no_command() {
        assert_eq!(first_command("4.19.91-20.al7.$(reboot)"), None);
    }
}
