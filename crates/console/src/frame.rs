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

impl Frame {
    /// Reads an entry, without the indentation.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (text, address) = bracketed_address(text);
        let (text, reliable) = text.strip_prefix("? ").map_or((text, true), |rest| (rest.trim_start(), false));
        let (text, address) = if address.is_none() { bracketed_address(text) } else { (text, address) };
        Some(Self { location: Location::parse(text, address)?, reliable })
    }
}

impl Location {
    /// Reads `symbol+0x1/0x20 [mod]` or `0xffff…`; nothing may follow.
    pub(crate) fn parse(text: &str, address: Option<VirtAddr>) -> Option<Self> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
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
    fn other_text_is_no_entry() {
        for text in ["", "?", "panic", "a+0x1", "a+0x1/0xzz", "a b+0x1/0x2", "f+0x1/0x2 more", "[<zz>]", "+0x1/0x2"] {
            assert_eq!(Frame::parse(text), None, "{text}");
        }
    }
}
