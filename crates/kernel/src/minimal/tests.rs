use super::*;
use crate::test_memory::TestMemory;

/// The image is at physical 16 MiB, `init_uts_ns` at 0x1000 in it and the page tables, which map nothing, at 0x3000.
const INFO: &str = "\
OSRELEASE=4.19.90
SYMBOL(init_uts_ns)=ffffffff80001000
SYMBOL(swapper_pg_dir)=ffffffff80003000
NUMBER(phys_base)=16777216
SYMBOL(log_buf)=ffffffff80002000
SYMBOL(log_buf_len)=ffffffff80002008
SYMBOL(log_first_idx)=ffffffff8000200c
SYMBOL(log_next_idx)=ffffffff80002010
SIZE(printk_log)=16
OFFSET(printk_log.ts_nsec)=0
OFFSET(printk_log.len)=8
OFFSET(printk_log.text_len)=10
OFFSET(printk_log.dict_len)=12
";
const IMAGE: u64 = 16 << 20;

/// A machine whose names begin `offset` bytes into their namespace.
fn machine(offset: u64) -> TestMemory {
    let mut memory = TestMemory::default();
    let names = ["Linux", "host", "4.19.90", "#1 SMP", "x86_64"];
    for (index, name) in names.iter().enumerate() {
        memory.put(IMAGE + 0x1000 + offset + 65 * index as u64, name.as_bytes());
    }
    memory.put_u64(IMAGE + 0x2000, 0xffff_ffff_8000_2100);
    memory.put_u32(IMAGE + 0x2008, 256);
    let mut at = 0;
    for (time, text) in
        [(1, "Kernel panic - not syncing: hung_task: blocked tasks"), (2, "CPU: 1 PID: 30 Comm: khungtaskd")]
    {
        let len = (16 + text.len() as u64).next_multiple_of(4);
        memory.put_u64(IMAGE + 0x2100 + at, time);
        memory.put_u16(IMAGE + 0x2108 + at, len.try_into().unwrap());
        memory.put_u16(IMAGE + 0x210a + at, text.len().try_into().unwrap());
        memory.put(IMAGE + 0x2110 + at, text.as_bytes());
        at += len;
    }
    memory.put_u32(IMAGE + 0x2010, at.try_into().unwrap());
    memory
}

#[test]
fn names_log_and_panic_need_nothing_but_vmcoreinfo() {
    let (info, memory) = (Vmcoreinfo::parse(INFO.as_bytes()), machine(4));
    let kernel = MinimalKernel::new(&info, &memory, PhysicalMask::ALL).unwrap();
    let mut gaps = Vec::new();
    let log = kernel.log(&mut gaps);
    assert_eq!((log.len(), gaps.as_slice()), (2, [].as_slice()));
    let panic = kernel.panic(&log);
    assert_eq!(panic.message.as_deref(), Some("Kernel panic - not syncing: hung_task: blocked tasks"));
    assert_eq!((panic.cpu, panic.pid, kernel.uptime_ns(&log)), (Some(1), Some(30), Some(2)));
    let names = kernel.utsname().unwrap();
    assert_eq!((names.nodename.as_str(), names.version.as_str()), ("host", "#1 SMP"));
}

#[test]
fn names_are_where_the_release_proves_them() {
    let memory = machine(4);
    let names = |text: &str| {
        let info = Vmcoreinfo::parse(text.as_bytes());
        MinimalKernel::new(&info, &memory, PhysicalMask::ALL).unwrap().utsname()
    };
    assert!(names(&format!("{INFO}OFFSET(uts_namespace.name)=4\n")).is_some());
    assert_eq!(names(&format!("{INFO}OFFSET(uts_namespace.name)=8\n")), None);
    assert_eq!(names(&INFO.replace("OSRELEASE=4.19.90", "OSRELEASE=4.19.91")), None);
}

#[test]
fn without_page_tables_nothing_is_opened() {
    let info = Vmcoreinfo::parse(b"OSRELEASE=1\nNUMBER(phys_base)=0\n");
    let error =
        MinimalKernel::new(&info, &TestMemory::default(), PhysicalMask::ALL).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("VMCOREINFO has no SYMBOL(swapper_pg_dir)"));
}
