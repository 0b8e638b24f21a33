//! What the kernel says of itself: VMCOREINFO and `uname`.
//!
//! Source: `kernel/crash_core.c`; of the machine's own lines: `x86_64.rs`, `arm64.rs`.

use std::fmt::Write;

use vmcore_dump::RawNote;

use super::Machine;
use crate::SynthError;
use crate::arch::Target;
use crate::generation::LogForm;
use crate::scenario::Route;

/// Structures with the members whose offsets are given.
type Described = &'static [(&'static str, &'static [&'static str])];

/// Those of the lock-less log buffer.
const RING: Described = &[
    ("printk_ringbuffer", &["desc_ring", "text_data_ring"]),
    ("prb_desc_ring", &["count_bits", "descs", "infos", "head_id", "tail_id"]),
    ("prb_desc", &["state_var", "text_blk_lpos"]),
    ("prb_data_blk_lpos", &["begin", "next"]),
    ("printk_info", &["seq", "ts_nsec", "text_len", "caller_id", "dev_info"]),
    ("dev_printk_info", &["subsystem", "device"]),
    ("prb_data_ring", &["size_bits", "data"]),
    ("atomic_long_t", &["counter"]),
];
/// Those of the log buffer before.
const RECORDS: Described = &[("printk_log", &["ts_nsec", "len", "text_len", "dict_len"])];

impl Machine<'_> {
    /// The VMCOREINFO note.
    pub(crate) fn vmcoreinfo(&self, build_id: &[u8; 20], route: Route) -> Result<RawNote, SynthError> {
        let facts = &self.generation.facts;
        let regions = &self.space.regions;
        let mut text = format!("OSRELEASE={}\n", facts.release);
        if facts.build_id {
            let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
            line(&mut text, &format!("BUILD-ID={hex}"));
        }
        line(&mut text, &format!("PAGESIZE={}", regions.paging.page_size()));
        let mut symbols = vec!["init_uts_ns"];
        match facts.log {
            LogForm::Ring => symbols.push("prb"),
            LogForm::Records => symbols.extend(["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"]),
        }
        for name in symbols {
            line(&mut text, &format!("SYMBOL({name})={:x}", self.variable(name)?.get()));
        }
        let root = match self.generation.target() {
            Target::X86_64(_) => "init_top_pgt",
            Target::Arm64(_) => "swapper_pg_dir",
        };
        line(&mut text, &format!("SYMBOL(swapper_pg_dir)={:x}", self.variable(root)?.get()));
        line(&mut text, &format!("SYMBOL(_stext)={:x}", self.code_at(0).get()));
        line(&mut text, &format!("SIZE(page)={}", self.generation.size_of("page")?));
        for (member, name) in [("page", "flags"), ("page", "_refcount"), ("page", "mapping"), ("page", "lru")] {
            if let Some(place) = self.generation.types().place(member, name) {
                line(&mut text, &format!("OFFSET({member}.{name})={}", place.offset));
            }
        }
        self.describe_log(&mut text)?;
        match self.generation.target() {
            Target::X86_64(_) => self.memory_lines_of_x86_64().iter().for_each(|words| line(&mut text, words)),
            Target::Arm64(facts) => self.memory_lines_of_arm64(facts).iter().for_each(|words| line(&mut text, words)),
        }
        // A crash kernel adds it: readers know by it that each CPU has its note in memory, too.
        if route == Route::Kdump {
            line(&mut text, "CRASHTIME=0");
        }
        Ok(RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc: text.into_bytes() })
    }

    /// What readers without debug information need of the log: `log_buf_vmcoreinfo_setup` in `kernel/printk/printk.c`.
    fn describe_log(&self, text: &mut String) -> Result<(), SynthError> {
        let described = match self.generation.facts.log {
            LogForm::Ring => RING,
            LogForm::Records => RECORDS,
        };
        for (name, members) in described {
            line(text, &format!("SIZE({name})={}", self.generation.size_of(name)?));
            for member in *members {
                let place = self.generation.types().place(name, member);
                let offset = place.ok_or_else(|| SynthError::scenario(format!("no {name}.{member}")))?.offset;
                line(text, &format!("OFFSET({name}.{member})={offset}"));
            }
        }
        Ok(())
    }

    /// Fills `init_uts_ns`.
    pub(crate) fn write_utsname(&mut self) -> Result<(), SynthError> {
        let namespace = self.variable("init_uts_ns")?;
        let version = format!("{} Thu Jan  1 00:00:00 UTC 1970", self.generation.facts.version);
        let release = self.generation.facts.release.clone();
        let machine = match self.generation.target() {
            Target::X86_64(_) => "x86_64",
            Target::Arm64(_) => "aarch64",
        };
        for (member, text) in [
            ("sysname", "Linux"),
            ("nodename", "synthetic"),
            ("release", &release),
            ("version", &version),
            ("machine", machine),
        ] {
            let at = self.member(namespace, "uts_namespace", &format!("name.{member}"))?;
            self.space.write(at, text.as_bytes())?;
        }
        Ok(())
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}
