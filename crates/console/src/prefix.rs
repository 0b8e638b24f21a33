//! What stands before the kernel's text on a line: who stored the log decides.
//!
//! | from | line |
//! |---|---|
//! | serial, `dmesg`, `vmcore-dmesg.txt` | `[   14.957393] text` |
//! | the same with `CONFIG_PRINTK_CALLER` | `[   14.957393][    C1] text` |
//! | `dmesg -r`, netconsole | `<4>[   14.957393] text` |
//! | `dmesg -x` | `kern  :warn  : [   14.957393] text` |
//! | `dmesg -T` | `[Sun Nov 22 20:29:11 2026] text` |
//! | `dmesg -d` | `[   14.957393 <    0.000003>] text` |
//! | `dmesg --reltime` | `[  +0.000003] text`, `[Nov22 20:29] text` |
//! | `dmesg --time-format iso` | `2026-11-22T20:29:11,123456+00:00 text` |
//! | `/dev/kmsg` | `4,358,14957393,-,caller=C1;text` |
//! | syslog, `journalctl -k` | `Nov 22 20:29:11 host kernel: [   14.957393] text` |
//! | `talosctl dmesg` | `10.5.0.2: kern:   alert: [2026-11-22T20:29:11.123456789Z]: text` |
//! | a serial console's own clock (`ts`, conserver, minicom) | `[2026-11-22 20:29:11] [   14.957393] text` |
//!
//! Source: `kernel/printk/printk.c`, `print_prefix()`, `print_caller()` and `msg_print_ext_header()`.

use crate::date::second_of_year;

/// Bytes before the text in which a prefix may be looked for.
const MAX_PREFIX: usize = 160;
/// Words of a date and a host before the tag.
const MAX_BEFORE_TAG: usize = 7;

/// Who printed a line, as the kernel says with `CONFIG_PRINTK_CALLER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// A task, by thread id (`T123`).
    Task(u32),
    /// A CPU outside of a task's context: an interrupt (`C1`).
    Cpu(u32),
}

/// A line's prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// When it was printed, in nanoseconds since boot, by the clock of the CPU that printed it.
    pub timestamp_ns: Option<u64>,
    /// When in its year, in seconds, where that is all that is known of when.
    pub second_of_year: Option<u32>,
    /// Who printed it.
    pub caller: Option<Caller>,
    /// 0 (emergency) to 7 (debug).
    pub level: Option<u8>,
    /// Whether there was any sign that this is a line of a kernel log.
    pub is_kernel: bool,
}

/// Takes a line apart.
#[must_use]
pub fn split(line: &str) -> (Prefix, &str) {
    if let Some(parts) = kmsg(line).or_else(|| talos(line)) {
        return parts;
    }
    let mut prefix = Prefix::default();
    let mut rest = after_tag(line, MAX_BEFORE_TAG, &mut prefix);
    rest = after_clock(rest);
    rest = after_iso_date(rest, &mut prefix);
    rest = level(rest, &mut prefix);
    rest = decoded_level(rest, &mut prefix);
    // `dmesg -x --time-format=iso`: the level first.
    rest = after_iso_date(rest, &mut prefix);
    if let Some((timestamp, after)) = timestamp(rest) {
        prefix.timestamp_ns = timestamp;
        prefix.is_kernel = true;
        rest = caller(after, &mut prefix);
        // `journalctl -o short-monotonic`: the host after the time.
        rest = after_tag(rest, 1, &mut prefix);
    }
    (prefix, rest)
}

/// `10.5.0.2: kern:   alert: [2026-11-22T20:29:11.123456789Z]: text`, with one node's log also without the address: Talos Linux,
/// `internal/app/machined/internal/server/v1alpha1`.
fn talos(line: &str) -> Option<(Prefix, &str)> {
    let rest = match line.split_once(": kern:") {
        Some((address, _)) if !address.contains(' ') => line.get(address.len() + 2..)?,
        _ => line,
    };
    let mut prefix = Prefix::default();
    let (date, text) = decoded_level(rest, &mut prefix).trim_start().strip_prefix('[')?.split_once("]: ")?;
    let is_date = prefix.is_kernel && date.ends_with('Z');
    prefix.second_of_year = Some(second_of_year(date).filter(|_| is_date)?);
    Some((prefix, text))
}

/// `... kernel: text`, where what precedes has no brackets and looks like a date and a host, in no more words than that. The kernel
/// itself writes the tag, too: `Kernel panic - not syncing: kernel: panic_on_warn set ...`.
fn after_tag<'a>(line: &'a str, max_words: usize, prefix: &mut Prefix) -> &'a str {
    let Some(at) = line.find("kernel: ").filter(|at| *at <= MAX_PREFIX) else { return line };
    let (before, after) = line.split_at(at);
    if !before.is_empty() && !before.ends_with(' ') || before.contains(['[', ']', '(']) || before.starts_with(' ') {
        return line;
    }
    let is_said = before.split(' ').any(|word| word.ends_with(':'));
    if is_said || before.split_whitespace().count() > max_words {
        return line;
    }
    prefix.is_kernel = true;
    after.strip_prefix("kernel: ").unwrap_or(after)
}

/// What stands before the kernel's own time, where that is only a date: the clock of who captured the console.
fn after_clock(line: &str) -> &str {
    /// No date is longer.
    const MAX_CLOCK: usize = 48;
    let starts = line.match_indices('[').map(|(at, _)| at).take_while(|at| *at <= MAX_CLOCK).skip_while(|at| *at == 0);
    let found = starts.into_iter().find_map(|at| {
        let (clock, rest) = line.split_at_checked(at)?;
        let inside = rest.strip_prefix('[')?.split_once(']')?.0.trim();
        // The kernel prints microseconds.
        let is_time = inside.split_once('.').is_some_and(|(_, fraction)| fraction.len() == 6);
        (is_time && is_date(clock) && timestamp(rest).is_some()).then_some(rest)
    });
    found.unwrap_or(line)
}

/// Digits, the names of days and months, and what stands between them; a time of the day among it.
fn is_date(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || " :.,-+/[]".contains(letter);
    text.contains(':') && text.contains(|letter: char| letter.is_ascii_digit()) && text.chars().all(allowed)
}

/// `2026-11-22T20:29:11,123456+00:00 text`.
fn after_iso_date<'a>(line: &'a str, prefix: &mut Prefix) -> &'a str {
    let date = line.split_once(' ').filter(|(date, _)| {
        let shape = |at: usize| date.as_bytes().get(at).copied();
        date.len() >= 25
            && (shape(4), shape(7), shape(10), shape(13)) == (Some(b'-'), Some(b'-'), Some(b'T'), Some(b':'))
            && date.bytes().all(|byte| byte.is_ascii_digit() || b"-T:,.+".contains(&byte))
    });
    let Some((_, text)) = date else { return line };
    prefix.is_kernel = true;
    text
}

/// `<4>`: level and facility in one number.
fn level<'a>(text: &'a str, prefix: &mut Prefix) -> &'a str {
    let parsed = text.strip_prefix('<').and_then(|rest| {
        let (number, rest) = rest.split_once('>')?;
        (number.len() <= 4).then(|| number.parse::<u16>().ok()).flatten().map(|number| (number, rest))
    });
    let Some((number, rest)) = parsed else { return text };
    prefix.level = u8::try_from(number & 7).ok();
    prefix.is_kernel = true;
    rest
}

/// `kern  :warn  : `.
fn decoded_level<'a>(text: &'a str, prefix: &mut Prefix) -> &'a str {
    const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
    let parsed = text.strip_prefix("kern").and_then(|rest| {
        let (level, rest) = rest.trim_start_matches(' ').strip_prefix(':')?.split_once(':')?;
        let level = NAMES.iter().position(|name| *name == level.trim())?;
        Some((u8::try_from(level).ok(), rest.strip_prefix(' ').unwrap_or(rest)))
    });
    let Some((level, rest)) = parsed else { return text };
    prefix.level = level;
    prefix.is_kernel = true;
    rest
}

/// `[   14.957393] ` or a date in brackets; what comes after keeps its indentation.
fn timestamp(text: &str) -> Option<(Option<u64>, &str)> {
    let (inside, rest) = text.trim_start_matches(' ').strip_prefix('[')?.split_once(']')?;
    let inside = without_delta(inside).trim();
    let after = || rest.strip_prefix(' ').unwrap_or(rest);
    if let Some((seconds, fraction)) = inside.split_once('.') {
        // Since the line before: no time of its own.
        if let Some(passed) = seconds.strip_prefix('+') {
            return nanoseconds(passed.trim_start(), fraction).map(|_| (None, after()));
        }
        // Seen cut off behind the point.
        let fraction = if fraction.is_empty() { "000000" } else { fraction };
        return Some((Some(nanoseconds(seconds, fraction)?), after()));
    }
    let is_date = inside.len() == 24 && inside.matches(':').count() == 2 && inside.matches(' ').count() >= 4;
    (is_date || is_minute(inside)).then(|| (None, after()))
}

/// Without how long after the line before it was printed: `14.957393 <    0.000003>`.
fn without_delta(inside: &str) -> &str {
    match inside.split_once('<') {
        Some((time, delta)) if !time.is_empty() && delta.ends_with('>') => time,
        _ => inside,
    }
}

/// `Nov22 20:29`.
fn is_minute(text: &str) -> bool {
    let Some((day, time)) = text.split_once(' ') else { return false };
    let shape: String = day.chars().chain(time.chars()).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let named = shape.chars().take(3).all(|letter| letter.is_ascii_alphabetic());
    named && matches!(shape.get(3..), Some("0000:00" | "000:00"))
}

fn nanoseconds(seconds: &str, fraction: &str) -> Option<u64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10u64.checked_pow(9 - u32::try_from(fraction.len()).ok()?)?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction.parse::<u64>().ok()? * scale)
}

/// `[    C1] ` or `[  T123] ` right after the time; or what makers of telephones have there.
fn caller<'a>(text: &'a str, prefix: &mut Prefix) -> &'a str {
    let parsed = text.strip_prefix('[').and_then(|rest| {
        let (inside, rest) = rest.split_once(']')?;
        Some((caller_id(inside.trim())?, rest))
    });
    let Some((caller, rest)) = parsed.or_else(|| vendors_caller(text)) else { return text };
    prefix.caller = Some(caller);
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// The CPU and the task before the text, as in kernels of `MediaTek`, ` (5)[4321:worker]text` and `-(5)[4321:worker]text` with
/// interrupts off, of Samsung, ` [5:   worker: 4321] text`, and of Qualcomm, ` c5   4321 text`.
fn vendors_caller(text: &str) -> Option<(Caller, &str)> {
    let text = text.trim_start_matches(' ');
    let task = |pid: &str| pid.trim().parse().ok().map(Caller::Task);
    if let Some(rest) = text.strip_prefix('-').unwrap_or(text).strip_prefix('(') {
        let (cpu, rest) = rest.split_once(")[")?;
        let (pid, rest) = rest.split_once(':')?;
        cpu.parse::<u16>().ok()?;
        return Some((task(pid)?, rest.split_once(']')?.1));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']')?;
        let (cpu, who) = inside.split_once(':')?;
        cpu.trim().parse::<u16>().ok()?;
        return Some((task(who.rsplit_once(':')?.1)?, rest));
    }
    let (cpu, rest) = text.strip_prefix('c')?.split_once(' ')?;
    cpu.parse::<u16>().ok()?;
    let (pid, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    Some((task(pid)?, rest))
}

fn caller_id(text: &str) -> Option<Caller> {
    if let Some(number) = text.strip_prefix('T') {
        return number.parse().ok().map(Caller::Task);
    }
    text.strip_prefix('C')?.parse().ok().map(Caller::Cpu)
}

/// `4,358,14957393,-,caller=C1;text`.
fn kmsg(line: &str) -> Option<(Prefix, &str)> {
    let (header, text) = line.split_once(';').filter(|(header, _)| header.len() <= MAX_PREFIX)?;
    let mut fields = header.split(',');
    let level = fields.next()?.parse::<u32>().ok()?;
    fields.next()?.parse::<u64>().ok()?;
    let micros = fields.next()?.parse::<u64>().ok()?;
    fields.next()?;
    let caller = fields.find_map(|field| caller_id(field.strip_prefix("caller=")?));
    let timestamp_ns = micros.checked_mul(1000);
    let level = u8::try_from(level & 7).ok();
    let prefix = Prefix { timestamp_ns, second_of_year: None, caller, level, is_kernel: true };
    Some((prefix, text))
}

/// The same behind what a system log put before it, or behind the release that netconsole sends since 6.2.
pub(crate) fn kmsg_anywhere(line: &str) -> Option<(Prefix, &str)> {
    let at = memchr::memchr(b';', line.as_bytes().get(..line.len().min(MAX_PREFIX))?)?;
    let start = line.get(..at)?.rfind(' ').map_or(0, |blank| blank + 1);
    let record = line.get(start..)?;
    kmsg(record).or_else(|| kmsg(record.split_once(',')?.1))
}

/// Whether a text begins with the kernel's own time: microseconds, or one that was cut (`[  240.] `).
pub(crate) fn is_time(text: &str) -> bool {
    let Some((inside, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return false };
    let Some((seconds, fraction)) = inside.trim_start_matches(' ').split_once('.') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = fraction.len() == 6
        || fraction.is_empty() && text.get(inside.len() + 2..).is_some_and(|after| after.starts_with(' '));
    (1..=10).contains(&seconds.len()) && is_whole && digits(seconds) && digits(fraction)
}

/// `12.345678` in nanoseconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    nanoseconds(seconds, fraction)
}

/// The level that stands right before the kernel's time: `<4>`, `kern  :warn  : `.
pub(crate) fn level_before(before: &str) -> Option<u8> {
    let mut prefix = Prefix::default();
    let start = before.rfind('<').or_else(|| before.rfind("kern")).unwrap_or_default();
    let rest = before.get(start..)?;
    let rest = decoded_level(level(rest, &mut prefix), &mut prefix);
    prefix.level.filter(|_| rest.trim().is_empty())
}

/// The kernel's time in the beginning of a line, in nanoseconds, without looking at what else there is.
pub(crate) fn time_in(line: &[u8]) -> Option<u64> {
    let head = line.get(..line.len().min(MAX_PREFIX))?;
    memchr::memchr_iter(b'[', head).find_map(|at| {
        let inside = head.get(at + 1..)?;
        let inside = inside.get(..memchr::memchr2(b']', b'<', inside).filter(|end| *end <= 20)?)?.trim_ascii_end();
        let dot = inside.len().checked_sub(7).filter(|dot| inside.get(*dot) == Some(&b'.'))?;
        let inside = std::str::from_utf8(inside).ok()?;
        nanoseconds(inside.get(..dot)?.trim_start_matches(' '), inside.get(dot + 1..)?)
    })
}

/// Whether a system log says that the line is the kernel's.
pub(crate) fn names_kernel(line: &[u8]) -> bool {
    let head = line.get(..line.len().min(MAX_PREFIX)).unwrap_or_default();
    memchr::memmem::find(head, b"kernel").is_some_and(|at| matches!(head.get(at + 6), Some(b':' | b' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Option<u64> = Some(14_957_393_000);

    #[track_caller]
    fn check(line: &str, timestamp_ns: Option<u64>, caller: Option<Caller>, level: Option<u8>, text: &str) {
        assert_eq!(split(line), (Prefix { timestamp_ns, second_of_year: None, caller, level, is_kernel: true }, text));
    }

    #[test]
    fn talos_has_its_nodes_address_and_a_date() {
        for address in ["", "109.200.197.196: "] {
            let line = format!("{address}kern:   alert: [2024-05-13T15:13:11.99477118Z]: XFS (sdb6): text");
            let (prefix, text) = split(&line);
            assert_eq!((text, prefix.level, prefix.is_kernel), ("XFS (sdb6): text", Some(1), true));
            assert_eq!(prefix.second_of_year, second_of_year("2024-05-13T15:13:11"));
        }
        for line in ["kern: alert: text", "user:   alert: [2024-05-13T15:13:11.99477118Z]: text"] {
            assert_eq!(split(line).0.second_of_year, None, "{line}");
        }
    }

    #[test]
    fn every_form() {
        check("[   14.957393]  text", AT, None, None, " text");
        check("[   14.957393][    C1] text", AT, Some(Caller::Cpu(1)), None, "text");
        check("[   14.957393][  T123]  text", AT, Some(Caller::Task(123)), None, " text");
        check("<4>[   14.957393] text", AT, None, Some(4), "text");
        check("kern  :warn  : [   14.957393] text", AT, None, Some(4), "text");
        check("[Sun Nov 22 20:29:11 2026] text", None, None, None, "text");
        check("4,358,14957393,-,caller=C1;text", AT, Some(Caller::Cpu(1)), Some(4), "text");
        check("Nov 22 20:29:11 host-1 kernel: [   14.957393]  text", AT, None, None, " text");
        check("2026-11-22T20:29:11.123456+00:00 host kernel: text", None, None, None, "text");
        check("[   14.957393] host kernel: text", AT, None, None, "text");
        let level = Some(0);
        check("kern  :emerg : 2026-11-22T20:29:11,123456+00:00 text", None, None, level, "text");
        check("[14.957393]", AT, None, None, "");
        let task = Some(Caller::Task(4321));
        check("[   14.957393]  (5)[4321:CameraThread]text", AT, task, None, "text");
        check("<2>[   14.957393] -(2)[4321:swapper/0]text", AT, task, Some(2), "text");
        check("<0>[   14.957393]  [6:      swapper/0: 4321] text", AT, task, Some(0), "text");
        check("[   14.957393] c5   4321 text", AT, task, None, "text");
        check("[   14.957393] [1] text: 2", AT, None, None, "[1] text: 2");
        check("[   14.957393] c5 text", AT, None, None, "c5 text");
        check("[  +0.000003]  text", None, None, None, " text");
        check("[Nov22 20:29]  text", None, None, None, " text");
        check("[   14.957393 <    0.000003>]  text", AT, None, None, " text");
        check("[Sun Nov 22 20:29:11 2026 <    0.000003>] text", None, None, None, "text");
        assert_eq!(time_in(b"[   14.957393 <    0.000003>] text"), AT);
        check("2026-11-22T20:29:11,123456+00:00  text", None, None, None, " text");
        for clock in
            ["[2026-11-22 20:29:11] ", "Nov 22 20:29:11 ", "2026-11-22T20:29:11.123 ", "[Sun Nov 22 20:29:11 2026] "]
        {
            check(&format!("{clock}[   14.957393][    C1]  text"), AT, Some(Caller::Cpu(1)), None, " text");
        }
    }

    #[test]
    fn a_line_without_a_prefix_stays_whole() {
        for line in [
            "at 12:00 [1.5] x",
            "2026 [   14.957393] x",
            "a; b: 1 [   14.957393] x",
            "",
            "RIP: 0010:f+0x1/0x2",
            " ? f+0x1/0x2 [mod]",
            "[<ffffffff81000000>] f+0x1/0x2",
            "[",
            "<>",
            ";;",
        ] {
            assert_eq!(split(line), (Prefix::default(), line));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_no_time() {
        let line = "[99999999999999999999.000000] text";
        assert_eq!(split(line), (Prefix::default(), line));
    }
}
