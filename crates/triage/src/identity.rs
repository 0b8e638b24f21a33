//! Which dumps are of the same crash: copies, other compressions, other filters of what one machine once held.

use crate::document::Document;
use crate::fingerprint;

/// What is the same in all dumps, or all logs, of one crash; `None` where too little is known to say so.
///
/// Of a dump: the kernel and where KASLR put it, how long it had run to the nanosecond, who panicked, and where the tasks
/// on its CPUs were in memory. Of a log: the kernel, and what it reported at which microsecond, of whom, where in the code and of
/// which device.
pub(crate) fn crash(document: Document<'_>) -> Option<String> {
    let kernel = [document.raw("/kernel/release"), document.raw("/kernel/version")];
    let uptime = document.raw("/uptime_ns");
    let tasks = document.tasks();
    let what = if !uptime.is_empty() && !tasks.is_empty() {
        let place = document.raw("/kernel/kaslr_offset");
        let panic = [document.raw("/panic/message"), document.raw("/panic/cpu"), document.raw("/panic/pid")];
        [&[uptime, place], panic.as_slice(), &[tasks.join(" ")]].concat()
    } else {
        let events = document.0.get("events").and_then(serde_json::Value::as_array);
        let is_dated = |event: &serde_json::Value| event.get("timestamp_ns").is_some_and(serde_json::Value::is_u64);
        if !events.is_some_and(|events| events.iter().any(is_dated)) {
            return None;
        }
        vec![without_lines(document), document.raw("/panic")]
    };
    Some(fingerprint::hex([kernel.as_slice(), &what].concat().join("\0").as_bytes()))
}

/// The events without their line numbers, which differ between a console's capture and `vmcore-dmesg.txt`.
fn without_lines(document: Document<'_>) -> String {
    let events = document.0.get("events").and_then(serde_json::Value::as_array);
    let event = |event: &serde_json::Value| {
        let field = |name: &str| event.get(name).map(ToString::to_string).unwrap_or_default();
        ["kind", "timestamp_ns", "cpu", "pid", "comm", "symbol", "module", "device"].map(field).join(" ")
    };
    events.into_iter().flatten().map(event).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn dump() -> Value {
        json!({"kernel": {"release": "6.1.0", "version": "#1", "kaslr_offset": "0x1000"}, "uptime_ns": 17_803_000_000u64,
            "panic": {"message": "m", "cpu": 2, "pid": 153}, "stacks": [{"task": "0xffff1"}, {"task": "0xffff2"}],
            "dump": {"path": "a"}})
    }

    #[test]
    fn the_form_of_the_dump_does_not_count_and_the_boot_does() {
        let first = crash(Document(&dump()));
        let mut other = dump();
        other["dump"]["path"] = "b".into();
        assert!(first.is_some());
        assert_eq!(crash(Document(&other)), first);
        for (pointer, value) in
            [("/uptime_ns", json!(1)), ("/kernel/kaslr_offset", json!("0x2000")), ("/panic/cpu", json!(1))]
        {
            let mut other = dump();
            *other.pointer_mut(pointer).unwrap() = value;
            assert_ne!(crash(Document(&other)), first, "{pointer}");
        }
    }

    #[test]
    fn nothing_known_is_no_identity() {
        assert_eq!(crash(Document(&json!({}))), None);
        assert_eq!(crash(Document(&json!({"events": [{"kind": "panic", "line": 3, "timestamp_ns": null}]}))), None);
        let log =
            |line: u64| json!({"events": [{"kind": "panic", "line": line, "timestamp_ns": 5}], "panic": {"cpu": 1}});
        assert_eq!(crash(Document(&log(1))), crash(Document(&log(7))));
    }

    #[test]
    fn logs_of_crashes_in_different_functions_are_of_two_crashes() {
        let log = json!({"kernel": {"release": "6.1.0"}, "panic": {"cpu": 1}, "events": [{"kind": "oops", "line": 3,
            "timestamp_ns": 5, "cpu": 1, "pid": 7, "comm": "nfsd", "symbol": "cache_put", "module": "demo", "device": null}]});
        let first = crash(Document(&log));
        for (field, value) in [("symbol", "cache_get"), ("module", "other"), ("comm", "cat"), ("device", "sda")] {
            let mut other = log.clone();
            other["events"][0][field] = value.into();
            assert_ne!(crash(Document(&other)), first, "{field}");
        }
    }
}
