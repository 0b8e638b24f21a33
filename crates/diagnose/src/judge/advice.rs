//! What to do about a verdict.

use crate::known_issues::{self, CodeSays};
use crate::{Finding, Issue, Remedy};

/// What helps against each of `issues`: what the finding itself says, where it is a case of its own, else what is known of the issue.
pub(super) fn remedies(
    issues: impl Iterator<Item = Issue>,
    findings: &[Finding],
    release: Option<&str>,
    code: Option<&CodeSays>,
) -> Vec<Remedy> {
    let own = |issue: Issue| findings.iter().find(|finding| finding.issue == issue)?.advice;
    let of_issue = |issue| match own(issue) {
        Some(advice) => vec![known_issues::step(advice)],
        None => known_issues::remedies(issue, release, code),
    };
    issues.flat_map(of_issue).collect()
}
