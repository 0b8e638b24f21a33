use super::*;
use crate::Issue;

fn commands(release: &str) -> Vec<String> {
    let remedies = remedies(Issue::ThpLivelock, Some(release), None);
    let own = remedies.into_iter().filter_map(|remedy| remedy.command);
    own.filter(|command| !command.starts_with("echo madvise")).collect()
}

fn bug(release: &str) -> Option<bool> {
    known_issue(Issue::ThpLivelock, Some(release), None).unwrap().in_this_kernel
}

fn code(has_fix: Option<bool>) -> CodeSays {
    CodeSays { has_fix, why: "by its code".to_owned(), hooked: None, evidence: Vec::new() }
}

#[test]
fn the_vendors_ranges() {
    let update = ["yum update kernel", "reboot"];
    let older = [
        "4.19.91-19.al7.x86_64",
        "4.19.91-18.al7.x86_64",
        "4.19.91-9.2.al7.x86_64",
        "4.19.57-15.1.al7.x86_64",
        "4.19.24-100.al7.x86_64",
    ];
    for release in older {
        assert_eq!(commands(release), update, "{release}");
    }
    for build in ["19.1", "19.2", "19.10", "20", "22.2", "23"] {
        let hotfix = format!("yum install -y kernel-hotfix-5902278-{build}.al7.x86_64");
        assert_eq!(commands(&format!("4.19.91-{build}.al7.x86_64")), [hotfix]);
    }
    // The base alone is upstream's, which never got the fix.
    assert_eq!((bug("4.19.91"), commands("4.19.91")), (Some(true), Vec::new()));
    for newer in ["4.19.91-23.1.al7", "4.19.91-24.al7", "4.19.91-26.1.al7", "4.19.91-100.al7", "4.19.112-1.al7"] {
        assert_eq!(commands(&format!("{newer}.x86_64")), Vec::<String>::new(), "{newer}");
        assert_eq!(bug(&format!("{newer}.x86_64")), None, "{newer}");
    }
    // Another vendor's build of the same base.
    assert_eq!(commands("4.19.91-20.el7.x86_64"), Vec::<String>::new());
    assert_eq!(commands("4.19.91-20.al70.x86_64"), Vec::<String>::new());
}

#[test]
fn what_a_release_tells() {
    assert_eq!(bug("4.19.91-19.1.al7.x86_64"), Some(true));
    for fixed in
        ["6.1.0-56-cloud-amd64", "5.13.0", "5.13.0-rc7", "7.1", "5.12.14", "5.10.47", "5.10.70-custom", "5.4.129"]
    {
        assert_eq!(bug(fixed), Some(false), "{fixed}");
    }
    for affected in ["5.12.13", "5.10.46", "5.4.128", "4.19.325", "4.14.336"] {
        assert_eq!(bug(affected), Some(true), "{affected}");
    }
    // Before the fix, but perhaps with a backport; series of which nothing is known.
    for unknown in [
        "5.10.0-30-generic",
        "5.10.0-0.bpo.8-amd64",
        "5.10.0-8.1-amd64",
        "5.10.1-8-amd64",
        "4.18.0-553.el8.x86_64",
        "5.11.22",
        "5.4.0-42-generic",
        "nonsense",
    ] {
        assert_eq!(bug(unknown), None, "{unknown}");
    }
    assert_eq!(bug("4.4.302"), Some(false));
    assert_eq!(known_issue(Issue::ThpLivelock, None, None).unwrap().in_this_kernel, None);
    assert_eq!(known_issue(Issue::SoftLockup, Some("5.10.46"), None), None);
}

#[test]
fn a_distributions_builds() {
    for flavour in ["amd64", "cloud-amd64", "rt-amd64"] {
        let (old, new) = (format!("5.10.0-8-{flavour}"), format!("5.10.0-9-{flavour}"));
        assert_eq!((bug(&old), bug(&new)), (Some(true), Some(false)));
        assert_eq!(bug(&format!("5.10.0-32-{flavour}")), Some(false));
        assert_eq!(commands(&old), [format!("apt-get update && apt-get install linux-image-{flavour} && reboot")]);
        assert_eq!(commands(&new), [""; 0]);
    }
}

#[test]
fn code_counts_more_than_a_release() {
    let of = |release, has_fix| known_issue(Issue::ThpLivelock, Some(release), Some(&code(has_fix))).unwrap();
    assert_eq!(of("5.10.46", Some(true)).in_this_kernel, Some(false));
    assert_eq!(of("6.1.0", Some(false)).in_this_kernel, Some(true));
    assert_eq!(of("5.10.0-30-amd64", Some(true)).why, "by its code");
    // Where the code does not tell, the release may.
    let hinted = of("6.1.0", None);
    assert_eq!(hinted.in_this_kernel, Some(false));
    assert!(hinted.why.starts_with("by its release") && hinted.why.ends_with("its code does not tell: by its code"));
    // A kernel of the vendor's range whose code has the fix needs no hotfix.
    let first = remedies(Issue::ThpLivelock, Some("4.19.91-20.al7.x86_64"), Some(&code(Some(true)))).swap_remove(0);
    assert_eq!(first.command, None);
}

#[test]
fn a_hook_is_looked_at_first() {
    let code = CodeSays { hooked: Some("migration_entry_wait".to_owned()), ..code(Some(true)) };
    let first = remedies(Issue::ThpLivelock, Some("6.1.0"), Some(&code)).swap_remove(0);
    assert!(first.action.contains("migration_entry_wait") && first.command.is_some());
}

#[test]
fn of_a_hooked_kernel_nobody_knows_which_code_ran() {
    let hooked = |has_fix| CodeSays { hooked: Some("migration_entry_wait".to_owned()), ..code(has_fix) };
    for (release, has_fix) in [("6.1.0", Some(true)), ("6.1.0", None), ("4.19.91-19.al7.x86_64", Some(false))] {
        let known = known_issue(Issue::ThpLivelock, Some(release), Some(&hooked(has_fix))).unwrap();
        assert_eq!((known.in_this_kernel, known.why.as_str()), (None, "by its code"), "{release}");
    }
    // Its own code has the fix: no other kernel is advised, and nobody is told that it has the fix.
    let all = remedies(Issue::ThpLivelock, Some("6.1.0"), Some(&hooked(Some(true))));
    assert!(
        all.iter().all(|remedy| !remedy.action.contains("install") && !remedy.action.contains("report it")),
        "{all:?}"
    );
}

#[test]
fn a_hostile_release_gets_no_command() {
    for release in ["4.19.91-20.al7.$(reboot)", "4.19.91-20.al7.x86_64;id", "4.19.91-20.al7.x86_64\nid"] {
        assert_eq!(commands(release), Vec::<String>::new(), "{release}");
    }
}

#[test]
fn the_table_is_in_order() {
    for issue in &BUGS {
        assert!(issue.commit.len() >= 12 && issue.since < issue.fixed_in, "{}", issue.commit);
        assert!(issue.stable.iter().all(|stable| stable.series < issue.fixed_in && stable.series >= issue.since));
        assert!(
            issue.distributions.iter().all(|distribution| distribution.fixed > 1 && !distribution.flavours.is_empty())
        );
        for vendor in issue.vendors {
            assert!(vendor.from.is_none_or(|from| from < vendor.to.0) && !vendor.advice.is_empty(), "{}", vendor.name);
        }
    }
}

#[test]
fn a_log_needs_a_dump_only_where_there_is_none() {
    let fixed = "6.1.0-56-cloud-amd64";
    let asks_for_a_dump = |source| {
        let remedies = remedies_by_log(Issue::ThpLivelock, Some(fixed), source);
        remedies.iter().any(|remedy| remedy.action.contains("kdump"))
    };
    assert!(asks_for_a_dump(Source::Text) && !asks_for_a_dump(Source::Dump));
}

#[test]
fn the_setting_that_made_the_kernel_panic_is_named_only_where_it_did() {
    let of = |message| setting_behind(Issue::OutOfMemory, message).and_then(|remedy| remedy.command);
    let told = "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled";
    assert_eq!(of(Some(told)).as_deref(), Some("sysctl -w vm.panic_on_oom=0"));
    assert!(of(Some("Out of memory: compulsory panic_on_oom is enabled")).is_some());
    assert_eq!(setting_behind(Issue::HungTask, Some(told)), None);
    for other in
        [None, Some("Kernel panic - not syncing: System is deadlocked on memory"), Some("sysrq triggered crash")]
    {
        assert_eq!(of(other), None, "{other:?}");
    }
}
