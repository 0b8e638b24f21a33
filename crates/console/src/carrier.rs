//! The kernel's text on a line, whatever carried it here.
//!
//! Consoles, system logs, mails and programs that capture a serial line put their own text before the kernel's, or wrap it
//! in a form of theirs. None of that has to be understood: what the kernel prints begins behind its own time,
//! `[   14.957393] `, or with one of its fixed texts. Two times on a line are two lines, of which the first was not ended
//! (`KERN_CONT`, or another CPU came in between).
//!
//! | carrier | looks like |
//! |---|---|
//! | a console with somebody logged in | `host login: [   14.957393] text` |
//! | `syslogd`, to all terminals | ` kernel:[   14.957393] text` or `kernel:text` |
//! | RFC 5424 | `<2>1 2026-11-22T10:00:00Z host kernel - - - text` |
//! | `console_unlock()` that could not keep up | `** 2977 printk messages dropped ** [   46.292061] text` |
//! | netconsole | `4,358,14957393,-,caller=C1;text`, since 6.2 with the release before it |
//! | mails | `> ` and `>> ` before, `=` at the end of a line that goes on |

use crate::prefix::{self, Prefix};

/// The kernel's texts on a line, each with what is known of it, in their order.
pub(crate) fn pieces(line: &str) -> Vec<(Prefix, &str)> {
    let line = line.trim_start_matches(['\u{feff}', '\u{fffd}']);
    if let Some(record) = prefix::kmsg_anywhere(line) {
        return vec![record];
    }
    let anchors: Vec<usize> = anchors(line).collect();
    let Some(first) = anchors.first() else { return vec![without_time(line)] };
    let mut pieces = Vec::with_capacity(anchors.len());
    let before = line.get(..*first).unwrap_or_default();
    if let Some(piece) = unfinished(before) {
        pieces.push((Prefix { is_kernel: true, ..Prefix::default() }, piece));
    }
    for (index, start) in anchors.iter().enumerate() {
        let end = anchors.get(index + 1).copied().unwrap_or(line.len());
        let Some(text) = line.get(*start..end) else { continue };
        let mut piece = prefix::split(text);
        if index == 0 {
            piece.0.level = prefix::level_before(before);
        }
        // The clock of who captured the line may look like the kernel's.
        let is_only_clock = piece.1.trim().is_empty() && index + 1 < anchors.len();
        if !is_only_clock {
            pieces.push(piece);
        }
    }
    pieces
}

/// Where the kernel's times begin.
fn anchors(line: &str) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'[', line.as_bytes()).filter(|at| line.get(*at..).is_some_and(prefix::is_time))
}

/// A line of the kernel's that had no end, before another one's time.
fn unfinished(before: &str) -> Option<&str> {
    let (_, text) = without_time(before);
    crate::event::Event::parse(text.trim()).map(|_| text)
}

/// A line without the kernel's time.
fn without_time(line: &str) -> (Prefix, &str) {
    let (prefix, text) = prefix::split(unquoted(line));
    if prefix.is_kernel && prefix.caller.is_some() {
        return (prefix, text);
    }
    let kernel = Prefix { is_kernel: true, ..prefix };
    // RFC 5424, and what `wall` shows.
    for tag in [" kernel - - - ", " kernel - - ", "kernel:"] {
        if let Some((before, rest)) = text.split_once(tag).filter(|(before, _)| before.len() <= 120 && is_head(before))
        {
            let _ = before;
            return (kernel, prefix::split(rest.strip_prefix(' ').unwrap_or(rest)).1);
        }
    }
    match fixed_text(text) {
        None => (prefix, text),
        Some(at) => (kernel, text.get(at..).unwrap_or(text)),
    }
}

/// Dates, host names and priorities: no sentence ends there.
fn is_head(before: &str) -> bool {
    before.split_whitespace().count() <= 6 && !before.contains("kernel")
}

/// Marks of quotation, of mails and of tickets.
fn unquoted(line: &str) -> &str {
    let trimmed = line.trim_start_matches([' ', '\t']);
    if !trimmed.starts_with(['>', '|']) {
        return line;
    }
    let rest = trimmed.trim_start_matches(['>', '|']);
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    if rest.trim_start().starts_with('>') { unquoted(rest) } else { rest }
}

/// Where one of the kernel's fixed texts begins, if what stands before it is no sentence.
fn fixed_text(text: &str) -> Option<usize> {
    const TEXTS: [&str; 17] = [
        "EXT4-fs error (device ",
        "watchdog: BUG: soft lockup - CPU#",
        "NMI watchdog: ",
        "BUG: soft lockup - CPU#",
        "watchdog: Watchdog detected hard LOCKUP",
        "INFO: task ",
        "rcu: INFO: rcu",
        "INFO: rcu_",
        "Kernel panic - not syncing: ",
        "BUG: unable to handle ",
        "BUG: kernel NULL pointer dereference",
        "BUG: workqueue lockup",
        "BUG: KASAN: ",
        "kernel BUG at ",
        "Unable to handle kernel ",
        "Internal error: Oops",
        "general protection fault",
    ];
    let at = TEXTS.iter().filter_map(|known| text.find(known)).min()?;
    let before = text.get(..at)?;
    (at == 0 || may_stand_before(before)).then_some(at)
}

/// A prompt, a counter, brackets, or the names of the kernel; nothing that tells of what others printed.
fn may_stand_before(before: &str) -> bool {
    let trimmed = before.trim_end();
    let ends = |ends: &[&str]| ends.iter().any(|end| trimmed.ends_with(end));
    if trimmed.is_empty()
        || ends(&["login:", "kernel:", "]", ">", "|", "**", "`", "*", "kernel-monitor", "console:", "uart:", "UART:"])
    {
        return true;
    }
    let is_prompt = ends(&["#", "$"]) && (trimmed.contains('@') || trimmed.len() <= 3);
    let is_count = trimmed.bytes().all(|byte| byte.is_ascii_digit() || b":.,-+/() ".contains(&byte));
    is_prompt || is_count || before.ends_with('\t')
}

/// Messages that the kernel says were lost: `** 12 printk messages dropped **`, `printk: 12 messages dropped`.
pub(crate) fn lost(line: &str) -> u64 {
    let count = line.split_once("** ").and_then(|(_, rest)| rest.split_once(" printk messages dropped"));
    let count = count.map(|(count, _)| count).or_else(|| {
        let (_, rest) = line.split_once("printk: ")?;
        rest.split_once(" messages dropped").map(|(count, _)| count)
    });
    count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKUP: &str = "watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [worker:4242]";

    #[track_caller]
    fn one(line: &str) -> (Option<u64>, String) {
        let pieces = pieces(line);
        let [(prefix, text)] = pieces.as_slice() else { panic!("{line}: {pieces:?}") };
        assert!(prefix.is_kernel, "{line}");
        (prefix.timestamp_ns, (*text).to_owned())
    }

    #[test]
    fn what_stands_before_the_kernels_time_does_not_matter() {
        for before in [
            "",
            "host-a login: ",
            "root@host-a:~# ",
            " kernel:",
            "Nov 22 10:00:00 host-a kernel: ",
            "<2>1 2025-11-22T10:00:00.123456+00:00 host-a kernel - - - ",
            "Feb 16 11:00:22 lab-controller-7 run-console.sh[75558]: UART: ",
            "[guest0/uart0] ",
            "[pod/x] ",
            "18h 42m 40.142s(  26ms): ",
            "host-a: ",
            "   17 ",
            "> ",
            ">> > ",
            "\t",
            "\u{feff}",
            "** 3764 printk messages dropped ** ",
            "2025-11-22T10:00:00.123456789Z stdout F ",
            "[2026-11-22 20:29:11] ",
            "[1763805600.123456] ",
            "<0>",
        ] {
            let line = format!("{before}[  812.100000] {LOCKUP}");
            assert_eq!(one(&line), (Some(812_100_000_000), LOCKUP.to_owned()), "{line}");
        }
        assert_eq!(one(&format!("[  240.] {LOCKUP}")).1, LOCKUP);
    }

    #[test]
    fn fixed_texts_without_a_time() {
        for before in [
            "kernel:",
            " kernel:",
            "Nov 22 10:00:00 host-a kernel: ",
            "host-a login: ",
            "root@host-a:~# ",
            "> ",
            "  12: ",
        ] {
            assert_eq!(one(&format!("{before}{LOCKUP}")).1, LOCKUP, "{before}");
        }
        for prose in ["someone wrote: ", "we saw a ", "app[12]: ", "the message was "] {
            let line = format!("{prose}{LOCKUP}");
            assert_eq!(pieces(&line), [(Prefix::default(), line.as_str())]);
        }
    }

    #[test]
    fn two_lines_that_were_glued() {
        let line = "[   76.470085] demo: 34359738352 bytes[   76.471107] BUG: unable to handle kernel paging request at ffffffffa4493138";
        let found = pieces(line);
        assert_eq!(
            found.iter().map(|(_, text)| *text).collect::<Vec<_>>(),
            ["demo: 34359738352 bytes", "BUG: unable to handle kernel paging request at ffffffffa4493138"]
        );
        assert_eq!(pieces("kernel BUG at mm/x.c:1![    1.000000] next").len(), 2);
    }

    #[test]
    fn records_of_kmsg() {
        for line in [
            "0,16640,40311391019,-,caller=C3;text",
            "Nov 22 10:00:00 host-a 0,16640,40311391019,-,caller=C3;text",
            "6.4.0,0,16640,40311391019,-;text",
        ] {
            assert_eq!(one(line), (Some(40_311_391_019_000), "text".to_owned()), "{line}");
        }
    }

    #[test]
    fn lost_messages() {
        assert_eq!(lost("** 2977 printk messages dropped ** [   46.292061]  x"), 2977);
        assert_eq!(lost("[    1.000000] printk: 12 messages dropped"), 12);
        assert_eq!(lost("[    1.000000] usb 1-1: ** done **"), 0);
    }
}
