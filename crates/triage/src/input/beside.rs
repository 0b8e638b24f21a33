//! Which log in a directory is of which dump there.
//!
//! Only one that is called so: by kdump's tools, which have a directory for each crash, or by the dump's own name. Any other may be
//! of another machine, whose crash must not be missed because this dump is there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Item;

/// Gives each dump its log, and the logs that are of none of them.
pub(super) fn share_out(dumps: &mut [Item], logs: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for log in logs {
        match dump_of(dumps, &log).filter(|dump| dump.log.is_none()) {
            Some(dump) => dump.log = Some(log),
            None => left.push(log),
        }
    }
    left
}

fn dump_of<'d>(dumps: &'d mut [Item], log: &Path) -> Option<&'d mut Item> {
    let log = name(log);
    let named_alike = |dump: &Item| dump.files().map(|file| likeness(&log, &name(file))).max().unwrap_or(0);
    // The one with the longest name in common; the others may be a beginning of it.
    let best = dumps.iter().map(named_alike).max().filter(|common| *common > 0);
    match (best, dumps.len()) {
        (Some(best), _) => dumps.iter_mut().find(|dump| named_alike(dump) == best),
        (None, 1) if is_of_kdump(&log) => dumps.first_mut(),
        (None, _) => None,
    }
}

/// How many bytes of a dump's name the name of a log has in common with it; 0 where it is called otherwise.
fn likeness(log: &str, dump: &str) -> usize {
    // `dump.202611280312` and `dmesg.202611280312`.
    if let (Some(when), Some(of_log)) = (dump.strip_prefix("dump."), log.strip_prefix("dmesg.")) {
        return if when == of_log { dump.len() } else { 0 };
    }
    // `vmcore` and `vmcore-dmesg.txt`, `web1.vmcore` and `web1.vmcore.log`.
    let goes_on = |rest: &str| rest.starts_with(|next: char| !next.is_alphanumeric());
    if log.strip_prefix(dump).is_some_and(goes_on) {
        return dump.len();
    }
    // `web1.vmcore` and `web1.log`, `web1-dmesg.txt`.
    let stem = dump.split('.').next().filter(|stem| dump.len() > stem.len() && *stem != "vmcore").unwrap_or_default();
    let is_alike = !stem.is_empty() && log.strip_prefix(stem).is_some_and(goes_on);
    if is_alike { stem.len() } else { 0 }
}

/// Whether it is called as a tool of kdump calls the log in a dump's directory.
fn is_of_kdump(log: &str) -> bool {
    log.starts_with("vmcore-dmesg") || log == "dmesg.txt" || log.starts_with("dmesg.")
}

fn name(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared_out(dumps: &[&str], logs: &[&str]) -> (Vec<Option<String>>, Vec<String>) {
        let mut dumps: Vec<_> = dumps.iter().map(|dump| Item::dump(dump.into())).collect();
        let left = share_out(&mut dumps, logs.iter().map(PathBuf::from).collect());
        let of_dump = |dump: Item| dump.log.as_deref().map(name);
        (dumps.into_iter().map(of_dump).collect(), left.iter().map(|log| name(log)).collect())
    }

    #[test]
    fn a_log_is_of_the_dump_that_is_called_like_it() {
        for (dump, log) in [
            ("vmcore", "vmcore-dmesg.txt"),
            ("vmcore-incomplete", "vmcore-dmesg-incomplete.txt"),
            ("vmcore1", "dmesg.txt"),
            ("dump.202611280312", "dmesg.202611280312"),
            ("web1.vmcore", "web1.log"),
            ("web1.vmcore", "web1-console.log"),
            ("web1.vmcore", "web1.vmcore.txt"),
            ("web1-vmcore.zst", "web1-vmcore.log.gz"),
        ] {
            assert_eq!(shared_out(&[dump], &[log]).1, [""; 0], "{dump} {log}");
        }
        for log in ["web10.log", "web2.log", "console.log", "messages", "vmcore.log"] {
            assert_eq!(shared_out(&["web1.vmcore"], &[log]), (vec![None], vec![log.to_owned()]));
        }
    }

    #[test]
    fn each_dump_has_its_own_and_the_rest_is_told() {
        let (of_dumps, left) = shared_out(&["web1.vmcore", "web2.vmcore"], &["web2.log", "web3.log", "dmesg.txt"]);
        assert_eq!(of_dumps, [None, Some("web2.log".to_owned())]);
        assert_eq!(left, ["web3.log", "dmesg.txt"]);
        let (of_dumps, left) = shared_out(&["vmcore", "vmcore.1"], &["vmcore.1-dmesg.txt", "vmcore-dmesg.txt"]);
        assert_eq!(of_dumps, [Some("vmcore-dmesg.txt".to_owned()), Some("vmcore.1-dmesg.txt".to_owned())]);
        assert!(left.is_empty());
    }
}
