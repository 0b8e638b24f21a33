use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::printk::legacy::sample as legacy_sample;
use crate::printk::lockless::sample as lockless_sample;
use crate::test_memory::{TestMemory, damaged_memory};

/// As 6.1 writes it.
const LOCKLESS: &str = "\
SYMBOL(prb)=ffffffff976622c0
SIZE(printk_ringbuffer)=88
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=48
SIZE(prb_desc_ring)=48
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=88
OFFSET(printk_info.seq)=0
OFFSET(printk_info.ts_nsec)=8
OFFSET(printk_info.text_len)=16
OFFSET(printk_info.caller_id)=20
OFFSET(printk_info.dev_info)=24
OFFSET(dev_printk_info.subsystem)=0
LENGTH(printk_info_subsystem)=16
OFFSET(dev_printk_info.device)=16
LENGTH(printk_info_device)=48
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
OFFSET(atomic_long_t.counter)=0
";
/// As 4.19 writes it.
const LEGACY: &str = "\
SYMBOL(log_buf)=0000000000001000
SYMBOL(log_buf_len)=0000000000001008
SYMBOL(log_first_idx)=000000000000100c
SYMBOL(clear_idx)=0000000000001014
SYMBOL(log_next_idx)=0000000000001010
SIZE(printk_log)=16
OFFSET(printk_log.ts_nsec)=0
OFFSET(printk_log.len)=8
OFFSET(printk_log.text_len)=10
OFFSET(printk_log.dict_len)=12
";

fn info(text: &str) -> Vmcoreinfo {
    Vmcoreinfo::parse(text.as_bytes())
}

#[test]
fn the_layouts_are_those_of_the_types() {
    assert_eq!(Said(&info(LOCKLESS)).lockless().unwrap(), lockless_sample::LAYOUT);
    assert_eq!(Said(&info(LEGACY)).legacy().unwrap(), legacy_sample::layout(false));
    let with_caller = LEGACY.replace("SIZE(printk_log)=16", "SIZE(printk_log)=20\nOFFSET(printk_log.caller_id)=16");
    assert_eq!(Said(&info(&with_caller)).legacy().unwrap(), legacy_sample::layout(true));
}

#[test]
fn the_record_of_before_3_11_has_another_name() {
    let older = LEGACY.replace("printk_log", "log");
    assert_eq!(Said(&info(&older)).legacy().unwrap(), legacy_sample::layout(false));
}

#[test]
fn records_are_read() {
    let mut memory = TestMemory::default();
    memory.put_u64(0x1000, 0x2000);
    memory.put_u32(0x1008, 256);
    memory.put_u32(0x1010, 24);
    memory.put_u64(0x2000, 5_000);
    memory.put(0x2008, &[24, 0, 5, 0, 0, 0, 0, 4 << 5 | 6]);
    memory.put(0x2010, b"hello");
    let mut gaps = Vec::new();
    let records = read(&memory, &info(LEGACY), &mut gaps).unwrap();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.seq, record.timestamp_ns, record.level, record.text.as_str()), (0, 5_000, 4, "hello"));
    assert_eq!(gaps, []);
}

#[test]
fn what_is_missing_is_named() {
    let why = |text: &str| read(&TestMemory::default(), &info(text), &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(why(""), "kernel log: VMCOREINFO has no SIZE(printk_log)");
    assert!(why(&LOCKLESS.replace("SIZE(prb_desc)=24\n", "")).ends_with("VMCOREINFO has no SIZE(prb_desc)"));
    assert!(why(&LEGACY.replace("SYMBOL(log_next_idx)", "SYMBOL(x)")).ends_with("no SYMBOL(log_next_idx)"));
    let huge = LOCKLESS.replace("SIZE(printk_info)=88", "SIZE(printk_info)=18446744073709551615");
    assert!(why(&huge).contains("an impossible SIZE(printk_info)"));
    // Where level and facility are, cannot be told of a structure with other members.
    let other = LEGACY.replace("SIZE(printk_log)=16", "SIZE(printk_log)=24");
    assert!(
        why(&other).contains("an unknown struct printk_log: 10 bytes between dict_len and what follows"),
        "{}",
        why(&other)
    );
}

/// One line of a text with another number in it.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let number = prop_oneof![0..200_u64, any::<u64>()];
    (vec((0..40_usize, number), 0..4)).prop_map(move |changes| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, number) in changes {
            let index = at % lines.len();
            let (key, _) = lines[index].split_once('=').unwrap();
            lines[index] = if key.starts_with("SYMBOL") { continue } else { format!("{key}={number}") };
        }
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn any_description_is_survived(
        memory in damaged_memory(0x1000..0x4000),
        lockless in damaged(LOCKLESS),
        legacy in damaged(LEGACY),
    ) {
        let lockless = lockless.replace("ffffffff976622c0", "1000");
        for text in [lockless, legacy] {
            let _ = read(&memory, &info(&text), &mut Vec::new());
        }
    }
}
