//! What the kernel says of itself: VMCOREINFO and `uname`.
//!
//! Source: `kernel/crash_core.c`, `arch/x86/kernel/machine_kexec_64.c`.

use std::fmt::Write;

use vmcore_dump::RawNote;

use super::Machine;
use crate::SynthError;
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
        line(&mut text, "PAGESIZE=4096");
        let mut symbols = vec!["init_uts_ns"];
        match facts.log {
            LogForm::Ring => symbols.push("prb"),
            LogForm::Records => symbols.extend(["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"]),
        }
        for name in symbols {
            line(&mut text, &format!("SYMBOL({name})={:x}", self.variable(name)?.get()));
        }
        line(&mut text, &format!("SYMBOL(swapper_pg_dir)={:x}", self.variable("init_top_pgt")?.get()));
        let start = crate::vmlinux::image::TEXT.wrapping_add(regions.kaslr);
        line(&mut text, &format!("SYMBOL(_stext)={:x}", start.get()));
        line(&mut text, &format!("SIZE(page)={}", self.generation.size_of("page")?));
        for (member, name) in [("page", "flags"), ("page", "_refcount"), ("page", "mapping"), ("page", "lru")] {
            if let Some(place) = self.generation.types().place(member, name) {
                line(&mut text, &format!("OFFSET({member}.{name})={}", place.offset));
            }
        }
        self.describe_log(&mut text)?;
        line(&mut text, &format!("NUMBER(phys_base)={}", regions.phys_base.cast_signed()));
        line(&mut text, &format!("NUMBER(pgtable_l5_enabled)={}", u8::from(regions.levels >= 5)));
        line(&mut text, &format!("KERNELOFFSET={:x}", regions.kaslr));
        line(&mut text, "NUMBER(KERNEL_IMAGE_SIZE)=1073741824");
        line(&mut text, "NUMBER(sme_mask)=0");
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
        for (member, text) in [
            ("sysname", "Linux"),
            ("nodename", "synthetic"),
            ("release", &release),
            ("version", &version),
            ("machine", "x86_64"),
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
