//! What is known of the bug, whether this kernel has it, and what to do about it.
//!
//! This is the one place that looks at a release string. Whether a kernel has the fix is told by its code where that can
//! be read ([`crate::fix`]); the release is only a hint, as distributions backport fixes: a release at or above one with
//! the fix has it, one of upstream's own below it has not, and any other says nothing.

mod release;
mod table;

use release::Release;
use table::{Advice, BUGS, Bug, Distribution, Vendor};

use vmcore_console::{PanicReason, panic_message};

use crate::{Evidence, Issue, KnownIssue, Remedy};

/// Whether the code of a kernel has a fix, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodeSays {
    /// Of the code that is there, whatever hooks it; `None` where that does not tell.
    pub(crate) has_fix: Option<bool>,
    /// Why.
    pub(crate) why: String,
    /// A function on the way that is hooked: other code may run instead.
    pub(crate) hooked: Option<String>,
    /// What shows it.
    pub(crate) evidence: Vec<Evidence>,
}

/// The known bug behind a verdict, where there is one. `code` is what the kernel's own code says; a log alone has none.
pub(crate) fn known_issue(verdict: Issue, release: Option<&str>, code: Option<&CodeSays>) -> Option<KnownIssue> {
    let issue = find(verdict)?;
    let release = release.and_then(Release::parse);
    let hint = release.as_ref().and_then(|release| by_release(issue, release));
    // Where a live patch or tracer may run other code, neither the code nor the release tells.
    let may_be_another = code.is_some_and(|code| code.hooked.is_some());
    let from_code = code.and_then(|code| Some((!code.has_fix?, code.why.clone())));
    let from_release = || {
        let (has_bug, why) = hint?;
        let code = code.map(|code| format!("; its code does not tell: {}", code.why)).unwrap_or_default();
        Some((has_bug, format!("by its release: {why}{code}")))
    };
    let known = from_code.or_else(from_release).filter(|_| !may_be_another);
    let unknown = || match code {
        Some(code) => code.why.clone(),
        None => "its release does not tell: distributions backport fixes".to_owned(),
    };
    Some(KnownIssue {
        id: issue.commit.to_owned(),
        mechanism: issue.mechanism.to_owned(),
        affected: issue.affected.to_owned(),
        fixed_by: fixed_by(issue),
        in_this_kernel: known.as_ref().map(|(has_bug, _)| *has_bug),
        why: known.map_or_else(unknown, |(_, why)| why),
        evidence: code.map(|code| code.evidence.clone()).unwrap_or_default(),
    })
}

/// Whether kernels of this release have the known bug behind a verdict, by the release alone; `None` where it does not
/// tell, or no bug is known.
#[must_use]
pub fn release_has_bug(verdict: &str, release: &str) -> Option<bool> {
    by_release(find(Issue::by_id(verdict)?)?, &Release::parse(release)?).map(|(has_bug, _)| has_bug)
}

/// What helps against what a verdict names, most effective first.
pub(crate) fn remedies(verdict: Issue, release: Option<&str>, code: Option<&CodeSays>) -> Vec<Remedy> {
    let fixed = Remedy {
        action: "keep this dump and report it to the kernel's vendor".to_owned(),
        command: None,
        why: "this kernel has the fix of the known bug: here the fault is retried on another path".to_owned(),
    };
    list(verdict, release, code, Some(fixed))
}

/// The same of a verdict by a log.
pub(crate) fn remedies_by_log(verdict: Issue, release: Option<&str>, source: Source) -> Vec<Remedy> {
    let fixed = Remedy {
        action: "keep this log, and have kdump save a dump the next time".to_owned(),
        command: None,
        why: "by its release this kernel has the fix of the known bug; what else retries the fault, only a dump shows"
            .to_owned(),
    };
    list(verdict, release, None, (source == Source::Text).then_some(fixed))
}

/// Where a log is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A text: there may be no dump.
    Text,
    /// A dump.
    Dump,
}

/// What else helps where the kernel panicked only because a setting said so. `message` is the panic's first line.
pub(crate) fn setting_behind(verdict: Issue, message: Option<&str>) -> Option<Remedy> {
    let reason = message.map(|message| panic_message(message).unwrap_or(message))?;
    let is_told = PanicReason::of(reason) == PanicReason::OutOfMemory && reason.contains("panic_on_oom is enabled");
    (verdict == Issue::OutOfMemory && is_told).then(|| Remedy {
        action: "let the kernel kill a process rather than panic, if that is better for this machine".to_owned(),
        command: Some("sysctl -w vm.panic_on_oom=0".to_owned()),
        why: "it panicked because vm.panic_on_oom was set".to_owned(),
    })
}

/// `fixed` is what to do where the kernel has the fix.
fn list(verdict: Issue, release: Option<&str>, code: Option<&CodeSays>, fixed: Option<Remedy>) -> Vec<Remedy> {
    let Some(issue) = find(verdict) else { return first_step(verdict) };
    let parsed = release.and_then(Release::parse);
    let vendor = parsed.as_ref().and_then(|release| vendor(issue, release));
    let has_bug = known_issue(verdict, release, code).and_then(|issue| issue.in_this_kernel);
    let build = release.and_then(build);
    let given = |advice: &Advice| remedy(advice, build);
    let only_hooked = code.is_some_and(|code| code.has_fix == Some(true) && code.hooked.is_some());
    let mut remedies: Vec<_> = match (has_bug, vendor) {
        // Another kernel would not help.
        _ if only_hooked => Vec::new(),
        (Some(false), _) => fixed.into_iter().collect(),
        (_, Some(vendor)) => vendor.advice.iter().map(given).collect(),
        (_, None) => vec![upgrade(issue, parsed.as_ref()).unwrap_or_else(|| Remedy {
            action: format!("install a kernel with mainline commit {} or its backport, then reboot", issue.commit),
            command: None,
            why: WITH_THE_FIX.to_owned(),
        })],
    };
    if let Some(function) = code.and_then(|code| code.hooked.as_deref()) {
        remedies.insert(0, hooked(function));
    }
    remedies.extend(issue.workarounds.iter().map(given));
    remedies
}

/// What to do first about a verdict that is no known bug; nothing where nothing is wrong.
fn first_step(verdict: Issue) -> Vec<Remedy> {
    verdict.definition().remedy.map(step).into_iter().collect()
}

/// What to do, and why, where no command does it.
pub(crate) fn step((action, why): (&str, &str)) -> Remedy {
    Remedy { action: action.to_owned(), command: None, why: why.to_owned() }
}

const WITH_THE_FIX: &str = "a fault on a tail page of a huge page under split then sleeps instead of retrying at once";

/// The kernel of the same distribution that has the fix.
fn upgrade(issue: &Bug, release: Option<&Release<'_>>) -> Option<Remedy> {
    let (distribution, flavour, build) = distribution(issue, release?)?;
    let Distribution { name, fixed, command, .. } = distribution;
    (build < *fixed).then(|| Remedy {
        action: format!("update the kernel to build {fixed} of {name} or a newer one, then reboot"),
        command: Some(command.replace("{flavour}", flavour)),
        why: WITH_THE_FIX.to_owned(),
    })
}

fn find(verdict: Issue) -> Option<&'static Bug> {
    const { &BUGS }.iter().find(|issue| issue.verdict == verdict)
}

fn fixed_by(issue: &Bug) -> String {
    let [major, minor] = issue.fixed_in;
    let stable = issue.stable.iter().filter_map(|stable| {
        let [major, minor] = stable.series;
        stable.fixed.map(|patch| format!("{major}.{minor}.{patch}"))
    });
    let stable: Vec<_> = stable.collect();
    let Bug { commit, subject, .. } = issue;
    format!("mainline commit {commit} (\"{subject}\"), in {major}.{minor}; stable {}", stable.join(", "))
}

/// Whether a kernel of this release has the bug, and why; `None` where the release does not tell.
fn by_release(issue: &Bug, release: &Release<'_>) -> Option<(bool, String)> {
    if let Some(vendor) = vendor(issue, release) {
        return Some((true, format!("{} names it", vendor.name)));
    }
    if let Some((distribution, _, build)) = distribution(issue, release) {
        let Distribution { name, fixed, .. } = distribution;
        return Some((build < *fixed, format!("in {name} the fix came with build {fixed}")));
    }
    let series = release.series()?;
    let [major, minor] = series;
    if series >= issue.fixed_in {
        return Some((false, format!("{major}.{minor} has the fix from its beginning")));
    }
    if series < issue.since {
        return release.is_upstream().then(|| (false, format!("{major}.{minor} is from before the bug")));
    }
    let patch = release.base.get(2).copied().unwrap_or_default();
    let stable = issue.stable.iter().find(|stable| stable.series == series);
    match stable.map(|stable| stable.fixed) {
        Some(Some(fixed)) if patch >= fixed => {
            Some((false, format!("stable release {major}.{minor}.{fixed} has the fix")))
        }
        // Of upstream's own releases, what is below or was left out is known not to have it.
        Some(Some(fixed)) if release.is_upstream() => {
            Some((true, format!("the fix came with {major}.{minor}.{fixed}")))
        }
        Some(None) if release.is_upstream() => Some((true, format!("the fix was not taken into {major}.{minor}"))),
        _ => None,
    }
}

/// The vendor's range that a release is in.
fn vendor<'i>(issue: &'i Bug, release: &Release<'_>) -> Option<&'i Vendor> {
    let order = release.order();
    let fits = |vendor: &&Vendor| {
        let (to, included) = vendor.to;
        let not_before = vendor.from.is_none_or(|from| order >= from);
        let not_after = if included { order <= to } else { order < to };
        vendor.tag == release.tag() && !release.build.is_empty() && not_before && not_after
    };
    issue.vendors.iter().find(fits)
}

/// The distribution that a release is of, its flavour there, and its build.
fn distribution<'i>(issue: &'i Bug, release: &Release<'_>) -> Option<(&'i Distribution, &'i str, u32)> {
    let [build] = release.build.as_slice() else { return None };
    issue.distributions.iter().find_map(|distribution| {
        let flavour = distribution.flavours.iter().find(|flavour| **flavour == release.suffix)?;
        (release.base == distribution.base).then_some((distribution, *flavour, *build))
    })
}

/// What follows the last `-` of a release, where it can go into a command. The release is from the dump: untrusted.
fn build(release: &str) -> Option<&str> {
    let (_, build) = release.rsplit_once('-')?;
    build.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.' || letter == '_').then_some(build)
}

/// Whoever hooks a function may have put the bug there, or the fix.
fn hooked(function: &str) -> Remedy {
    Remedy {
        action: format!("see what hooks {function} on a machine like this: a live patch, a tracer, a module"),
        command: Some("cat /sys/kernel/tracing/enabled_functions; ls /sys/kernel/livepatch".to_owned()),
        why: "what it runs instead may be the cause, or the vendor's fix".to_owned(),
    }
}

fn remedy(advice: &Advice, build: Option<&str>) -> Remedy {
    let command = advice.command.and_then(|command| match build {
        Some(build) => Some(command.replace("{build}", build)),
        None => (!command.contains("{build}")).then(|| command.to_owned()),
    });
    Remedy { action: advice.action.to_owned(), command, why: advice.why.to_owned() }
}

#[cfg(test)]
mod tests;
