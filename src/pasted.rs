//! Commands in hints: they work as they stand when pasted into a shell.

use std::borrow::Cow;
use std::path::Path;

/// A path as a shell takes it for one word.
pub(crate) fn quoted(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%,=".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''")).into()
    }
}

/// A command line on a dump, with what comes behind the files.
pub(crate) fn command_line(command: &str, vmcore: &Path, vmlinux: Option<&Path>, rest: &str) -> String {
    let vmlinux = vmlinux.map(|path| format!(" {}", quoted(path))).unwrap_or_default();
    let rest = if rest.is_empty() { String::new() } else { format!(" {rest}") };
    format!("vmcore-thp {command} {}{vmlinux}{rest}", quoted(vmcore))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_single_words() {
        let line = |vmcore: &str| command_line("ps", Path::new(vmcore), Some(Path::new("it's")), "--tree");
        assert_eq!(line("/var/crash/vmcore"), r"vmcore-thp ps /var/crash/vmcore 'it'\''s' --tree");
        assert_eq!(line("a b;id"), r"vmcore-thp ps 'a b;id' 'it'\''s' --tree");
        assert_eq!(command_line("ps", Path::new("vmcore"), None, ""), "vmcore-thp ps vmcore");
    }
}
