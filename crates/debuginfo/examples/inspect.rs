//! Opens a vmlinux, times each step and answers what is asked on the command line.
//!
//! ```text
//! cargo run --release -p vmcore-debuginfo --example inspect -- VMLINUX QUESTION...
//! ```
//! Questions: `symbol NAME`, `at ADDRESS`, `type NAME`, `dwarf-type NAME`, `member TYPE PATH`, `enumerator NAME`,
//! `source ADDRESS`, `sources COUNT`, `profile OUT`.

use std::{error::Error, path::Path, time::Instant};

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::VirtAddr;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: inspect VMLINUX [QUESTION]...")?;
    let vmlinux = timed("open", || Vmlinux::open(Path::new(&path)))?;
    timed("symbols by name", || vmlinux.symbols().address("schedule"));
    println!("{}", vmlinux.banner().unwrap_or_else(|| "no banner".into()));
    timed("symbols by address", || vmlinux.symbols().lookup(VirtAddr::new(0xffff_ffff_8100_0000)));
    timed("types", || vmlinux.types().size_of("task_struct"));
    timed("enumerators", || vmlinux.types().enumerator("PG_locked"));
    while let Some(question) = arguments.next() {
        let mut operand = || arguments.next().ok_or("an operand is missing");
        match question.as_str() {
            "symbol" => {
                let name = operand()?;
                println!("{name}: {:?}", vmlinux.symbols().addresses(&name).collect::<Vec<_>>());
            }
            "at" => {
                let address = parse_address(&operand()?)?;
                println!("{address}: {:?}", vmlinux.symbols().lookup(address));
            }
            "source" => {
                let address = parse_address(&operand()?)?;
                let frames = timed("source", || vmlinux.source().map(|mut lines| lines.frames(address)));
                println!("{address}: {frames:#?}");
            }
            "sources" => {
                // That many addresses spread evenly over the code: more different units than any real set of stacks.
                let count: u64 = operand()?.parse()?;
                let text = vmlinux.section(".text").ok_or("no .text")?;
                let step = (text.data.len() as u64 / count.max(1)).max(1);
                let addresses: Vec<_> = (0..count).map(|i| text.address.wrapping_add(i * step)).collect();
                let frames = timed("sources", || vmlinux.source_frames(&addresses));
                println!("{count} addresses: {} frames", frames.iter().map(Vec::len).sum::<usize>());
            }
            "type" => {
                let name = operand()?;
                println!("sizeof({name}) = {:?}", vmlinux.types().size_of(&name));
            }
            "profile" => {
                let path = operand()?;
                let profile = timed("profile", || vmcore_debuginfo::Profile::of(&vmlinux))?;
                std::fs::write(&path, profile.bytes())?;
                println!("{path}: {} KiB", profile.bytes().len() >> 10);
            }
            "dwarf-type" => {
                let name = operand()?;
                let types = timed("DWARF types", || vmlinux.dwarf_types()).ok_or("no DWARF")?;
                println!("sizeof({name}) = {:?}", timed("DWARF type", || types.size_of(&name)));
                println!("sizeof(nothing) = {:?}", timed("missing type", || types.size_of("nothing")));
            }
            "member" => {
                let (name, path) = (operand()?, operand()?);
                println!("{name}.{path}: {:#?}", vmlinux.types().member(&name, &path));
            }
            "enumerator" => {
                let name = operand()?;
                println!("{name} = {:?}", vmlinux.types().enumerator(&name));
            }
            other => return Err(format!("unknown question {other}").into()),
        }
    }
    Ok(())
}

fn parse_address(text: &str) -> Result<VirtAddr, Box<dyn Error>> {
    Ok(VirtAddr::new(u64::from_str_radix(text.trim_start_matches("0x"), 16)?))
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what:>20}: {:>8.2} ms, {:>6} KiB peak", start.elapsed().as_secs_f64() * 1e3, peak_kib());
    result
}

/// The peak resident set of this process, mapped file pages included.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
