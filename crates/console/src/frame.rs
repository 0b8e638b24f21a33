//! One entry of a call trace.
//!
//! `[ ?] symbol+0xOFFSET/0xSIZE [module]`, since 5.16 with the module's build-id inside the brackets; before 4.9 with
//! `[<ffffffff81000000>] ` in front. A question mark means that the unwinder did not find this address: it only lies on
//! the stack. What has no symbol is an address.
//!
//! Source: `arch/x86/kernel/dumpstack.c`, `printk_stack_address()`; `kernel/kallsyms.c`, `__sprint_symbol()`.

use vmcore_memory::VirtAddr;

/// A place in the kernel's code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The function; `None` where the kernel printed a bare address.
    pub symbol: Option<String>,
    /// The address, where it was printed.
    pub address: Option<VirtAddr>,
    /// Bytes from the function's start.
    pub offset: Option<u64>,
    /// The function's size in bytes.
    pub size: Option<u64>,
    /// The module it is in.
    pub module: Option<String>,
}

/// One entry of a call trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it returns to.
    pub location: Location,
    /// Whether the unwinder found it; otherwise the address only lies on the stack.
    pub reliable: bool,
}

/// A line with an entry of a call trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) frame: Frame,
    /// What that function had called, where the line names both, as on 32-bit ARM: in the first line of a trace the innermost.
    pub(crate) callee: Option<String>,
    /// The stacks that end and begin here, before 4.9 on the same line: `<<EOE>>  <IRQ>  [<ffffffff81000000>] f+0x1/0x2`.
    pub(crate) markers: Vec<Marker>,
}

/// Where a trace comes to another stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// `<IRQ>`
    Open(String),
    /// `</IRQ>`
    Close(String),
}

impl Entry {
    /// Reads an entry, without the indentation.
    pub(crate) fn parse(text: &str, markers: &[Marker]) -> Option<Self> {
        let called =
            text.trim().split_once(" from ").map(|(called, _)| called).filter(|called| is_arm_function(called));
        let callee = called.map(arm_function).map(|name| name.split("+0x").next().unwrap_or(name).to_owned());
        Some(Self { frame: Frame::parse(text)?, callee, markers: markers.to_vec() })
    }
}

impl Frame {
    /// Reads an entry, without the indentation.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // 32-bit ARM: `[<c01f3218>] (f) from [<c01f32a0>] (g+0x3c/0x5c)`, since 5.16 ` f from g+0x3c/0x5c`.
        let (text, called) = match text.split_once(" from ") {
            Some((called, from)) if is_arm_function(called) => (from.trim_start(), true),
            _ => (text, false),
        };
        let (text, address) = bracketed_address(text);
        let text = if called { text.trim_start_matches('(').trim_end_matches(')') } else { text };
        let (text, is_guess) = without_marks(text);
        let (text, reliable) = text.strip_prefix("? ").map_or((text, true), |rest| (rest.trim_start(), false));
        let (text, address) = if address.is_none() { bracketed_address(text) } else { (text, address) };
        let text = without_powerpc_addresses(text);
        Some(Self { location: Location::parse(text, address)?, reliable: reliable && !is_guess })
    }
}

/// `[<c01f3218>] (f)` or `f`.
fn is_arm_function(text: &str) -> bool {
    let name = arm_function(text);
    is_symbol(name.split(['+', ' ']).next().unwrap_or_default()) && !name.contains(' ')
}

fn arm_function(text: &str) -> &str {
    bracketed_address(text).0.trim_start_matches('(').trim_end_matches(')')
}

/// What the kernel says of an entry behind it: arm64 since 6.13 `(P)` and others, powerpc `(unreliable)`.
fn without_marks(text: &str) -> (&str, bool) {
    let Some((before, mark)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) else {
        return (text, false);
    };
    if mark == "unreliable" {
        return (before, true);
    }
    let is_mark = (1..=4).contains(&mark.len()) && mark.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_mark { (before, false) } else { (text, false) }
}

/// powerpc: `[c00000003fd37d80] [c0000000001c9f60] f+0x1/0x2`.
fn without_powerpc_addresses(text: &str) -> &str {
    let Some((digits, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else { return text };
    let is_address = matches!(digits.len(), 8 | 16) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_address { without_powerpc_addresses(rest) } else { text }
}

/// `mm/demo.c:12`: where in the source, as scripts that decode a trace add it.
fn is_source(text: &str) -> bool {
    [".c:", ".h:", ".S:", ".rs:"].iter().any(|end| {
        text.split_once(end).is_some_and(|(_, line)| line.starts_with(|letter: char| letter.is_ascii_digit()))
    })
}

impl Location {
    /// Reads `symbol+0x1/0x20 [mod]` or `0xffff…`; nothing may follow but where that is in the source.
    pub(crate) fn parse(text: &str, address: Option<VirtAddr>) -> Option<Self> {
        let text = text.trim();
        if let Some(decoded) = Self::decoded(text, address) {
            return Some(decoded);
        }
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = match rest.split_once(' ') {
            Some((source, rest)) if is_source(source) => rest.trim_start_matches("[inline]"),
            None if is_source(rest) => "",
            _ => rest,
        };
        let module = module(rest.trim())?;
        if let Some((symbol, numbers)) = name.rsplit_once("+0x") {
            let (offset, size) = numbers.split_once("/0x")?;
            let number = |digits| u64::from_str_radix(digits, 16).ok();
            let (offset, size) = (Some(number(offset)?), Some(number(size)?));
            return is_symbol(symbol).then(|| Self { symbol: Some(symbol.to_owned()), address, offset, size, module });
        }
        let bare = name.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).map(VirtAddr::new);
        let address = bare.or(address)?;
        (bare.is_some() || name.is_empty()).then_some(Self {
            symbol: None,
            address: Some(address),
            offset: None,
            size: None,
            module,
        })
    }

    /// A function of which only the name is known.
    pub(crate) const fn of_function(symbol: String) -> Self {
        Self { symbol: Some(symbol), address: None, offset: None, size: None, module: None }
    }

    /// `scripts/decode_stacktrace.sh` writes `symbol (file.c:12 (discriminator 3)) mod`, syzkaller's `symbol file.c:12
    /// [inline]` where the compiler put a function into its caller.
    fn decoded(text: &str, address: Option<VirtAddr>) -> Option<Self> {
        let (symbol, rest) = text.split_once(' ')?;
        let module = match rest.strip_prefix('(') {
            Some(inside) => {
                let (source, after) = inside.rsplit_once(')')?;
                is_source(source).then(|| after.trim())?
            }
            None => {
                let (source, after) = rest.split_once(' ').unwrap_or((rest, ""));
                (is_source(source) && after.trim() == "[inline]").then_some("")?
            }
        };
        let module = module.trim_start_matches('[').trim_end_matches(']').split(' ').next().unwrap_or_default();
        let symbol = symbol.split_once("+0x").map_or(symbol, |(symbol, _)| symbol);
        (is_symbol(symbol) && (module.is_empty() || is_symbol(module))).then(|| Self {
            symbol: Some(symbol.to_owned()),
            address,
            offset: None,
            size: None,
            module: (!module.is_empty()).then(|| module.to_owned()),
        })
    }
}

/// `[<ffffffff81000000>] ` at the start.
pub(crate) fn bracketed_address(text: &str) -> (&str, Option<VirtAddr>) {
    let parsed = text.strip_prefix("[<").and_then(|rest| {
        let (digits, rest) = rest.split_once(">]")?;
        Some((rest.trim_start(), VirtAddr::new(u64::from_str_radix(digits, 16).ok()?)))
    });
    parsed.map_or((text, None), |(rest, address)| (rest, Some(address)))
}

/// `[name]` or `[name BUILDID]`, or nothing. The outer option is whether the text is one of them.
#[allow(clippy::option_option)]
fn module(text: &str) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let name = inside.split(' ').next().filter(|name| is_symbol(name))?;
    Some(Some(name.to_owned()))
}

fn is_symbol(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 512
        && text.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '.' | '$' | '-' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> (Option<String>, Option<u64>, Option<u64>, Option<String>, bool) {
        let Frame { location, reliable } = Frame::parse(text).unwrap_or_else(|| panic!("{text}"));
        (location.symbol, location.offset, location.size, location.module, reliable)
    }

    #[test]
    fn entries() {
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(frame(" panic+0xd8/0x24c"), (name("panic"), Some(0xd8), Some(0x24c), None, true));
        assert_eq!(frame(" ? hog+0x2c/0x33 [cpu_hog]"), (name("hog"), Some(0x2c), Some(0x33), name("cpu_hog"), false));
        let build_id = " hog+0x2c/0x33 [cpu_hog 6f4d2c1b]";
        assert_eq!(frame(build_id), (name("hog"), Some(0x2c), Some(0x33), name("cpu_hog"), true));
        let old = "[<ffffffff8100a0b1>] ? f.isra.0+0x1/0x2";
        assert_eq!(frame(old), (name("f.isra.0"), Some(1), Some(2), None, false));
        assert_eq!(Frame::parse(old).unwrap().location.address, Some(VirtAddr::new(0xffff_ffff_8100_a0b1)));
        let bare = Frame::parse(" ? 0xffffffffc0477000").unwrap();
        assert_eq!((bare.location.address, bare.reliable), (Some(VirtAddr::new(0xffff_ffff_c047_7000)), false));
    }

    #[test]
    fn entries_of_other_architectures_and_decoded_ones() {
        for (text, symbol, module, reliable) in [
            ("demo+0x10/0x24 (P)", "demo", None, true),
            ("demo+0x10/0x24 [mod] (PL)", "demo", Some("mod"), true),
            ("[c00000003fd37d80] [c0000000001c9f60] demo+0x10/0x24 (unreliable)", "demo", None, false),
            ("[<c01f3218>] (callee) from [<c01f32a0>] (demo+0x3c/0x5c)", "demo", None, true),
            ("[<c01f3218>] (callee+0x1/0x2) from [<c01f32a0>] (demo+0x3c/0x5c [mod])", "demo", Some("mod"), true),
            ("callee from demo+0x3c/0x5c", "demo", None, true),
            ("demo (drivers/demo/core.c:801) mod", "demo", Some("mod"), true),
            ("? demo (kernel/demo.c:740 (discriminator 3)) ", "demo", None, false),
            ("demo+0x10/0x24 drivers/demo.c:310", "demo", None, true),
            ("demo drivers/demo.c:310 [inline]", "demo", None, true),
        ] {
            let (name, _, _, in_module, is_reliable) = frame(text);
            assert_eq!(
                (name.as_deref(), in_module.as_deref(), is_reliable),
                (Some(symbol), module, reliable),
                "{text}"
            );
        }
    }

    #[test]
    fn other_text_is_no_entry() {
        for text in ["", "?", "panic", "a+0x1", "a+0x1/0xzz", "a b+0x1/0x2", "f+0x1/0x2 more", "[<zz>]", "+0x1/0x2"] {
            assert_eq!(Frame::parse(text), None, "{text}");
        }
    }
}
