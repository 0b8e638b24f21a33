//! Records of the kernel that a program wrapped in a form of its own.
//!
//! | program | looks like |
//! |---|---|
//! | Docker, Kubernetes, `journalctl -o json`, log shippers | `{"log": "text\n"}`, `{"MESSAGE": "text"}` |
//! | `dmesg --json` | `"msg": "text"`, one field a line |
//! | `journalctl -o export` | `MESSAGE=text`, one field a line, in any order |
//! | clouds that keep the console's output | `"Output": "text\r\ntext"` |

use std::borrow::Cow;

use crate::prefix;

/// What a program wrote around a record.
#[derive(Debug, Default)]
pub(crate) struct Wrapping {
    /// The time of the record whose fields are being read, in nanoseconds.
    timestamp_ns: Option<u64>,
    /// Of the journal's export format, which gives a record's fields in any order.
    exported: Option<Exported>,
}

/// A record of which not all fields were read.
#[derive(Debug, Default)]
struct Exported {
    text: Option<String>,
    /// Whether it came from another than the kernel.
    is_foreign: bool,
}

/// A record out of its wrapping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwrapped {
    pub(crate) text: String,
    pub(crate) timestamp_ns: Option<u64>,
    pub(crate) is_kernel: bool,
}

impl Wrapping {
    /// Whether a line that says nothing by itself has to be seen: the fields of a record, and the end of one.
    pub(crate) fn goes_on(&self, line: &[u8]) -> bool {
        line.starts_with(b"__CURSOR=")
            || self.exported.is_some() && (line.starts_with(b"_TRANSPORT=") || line.is_empty())
    }

    /// The record at the end, which no line ended.
    pub(crate) fn rest(&mut self) -> Option<Unwrapped> {
        let record = self.exported.take()?;
        self.whole(record)
    }

    /// Takes a line out of JSON or the journal's export format. `None` for a line that is neither.
    pub(crate) fn open(&mut self, line: &str) -> Option<Option<Unwrapped>> {
        let trimmed = line.trim_start();
        let Some(first) = trimmed.as_bytes().first() else { return self.exported.take().map(|it| self.whole(it)) };
        match first {
            b'{' => self.json(trimmed.trim_end().trim_end_matches(',')),
            b'"' => self.dmesg_json(trimmed),
            b'M' => {
                let text = trimmed.strip_prefix("MESSAGE=")?.to_owned();
                if let Some(exported) = &mut self.exported {
                    exported.text = Some(text);
                    return Some(None);
                }
                Some(Some(Unwrapped { text, timestamp_ns: self.timestamp_ns.take(), is_kernel: true }))
            }
            b'_' => {
                if trimmed.starts_with("__CURSOR=") {
                    let before = self.exported.replace(Exported::default());
                    return Some(before.and_then(|before| self.whole(before)));
                }
                if let (Some(transport), Some(exported)) = (trimmed.strip_prefix("_TRANSPORT="), &mut self.exported) {
                    exported.is_foreign = transport.trim() != "kernel";
                    return Some(None);
                }
                let time = trimmed
                    .strip_prefix("_SOURCE_MONOTONIC_TIMESTAMP=")
                    .or_else(|| trimmed.strip_prefix("__MONOTONIC_TIMESTAMP="));
                let micros: u64 = time?.trim().parse().ok()?;
                self.timestamp_ns = micros.checked_mul(1000);
                Some(None)
            }
            _ => None,
        }
    }

    /// The text of a record that is the kernel's.
    fn whole(&mut self, record: Exported) -> Option<Unwrapped> {
        let timestamp_ns = self.timestamp_ns.take();
        let text = record.text.filter(|_| !record.is_foreign)?;
        Some(Unwrapped { text, timestamp_ns, is_kernel: true })
    }

    /// One object a line: Docker, Kubernetes, `journalctl -o json`, log shippers.
    fn json(&mut self, line: &str) -> Option<Option<Unwrapped>> {
        const KEYS: [&str; 10] =
            ["log", "MESSAGE", "message", "msg", "text", "short_message", "line", "_raw", "Output", "output"];
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
        let text = KEYS.iter().find_map(|key| object.get(*key)).and_then(text_of)?;
        let transport = object.get("_TRANSPORT").and_then(serde_json::Value::as_str);
        // The journal knows who wrote it: whatever a program's message looks like.
        if transport.is_some_and(|transport| transport != "kernel") {
            return Some(None);
        }
        let micros =
            ["_SOURCE_MONOTONIC_TIMESTAMP", "__MONOTONIC_TIMESTAMP"].iter().find_map(|key| match object.get(*key)? {
                serde_json::Value::String(text) => text.parse::<u64>().ok(),
                value => value.as_u64(),
            });
        Some(Some(Unwrapped {
            text: text.into_owned(),
            timestamp_ns: micros.and_then(|micros| micros.checked_mul(1000)),
            is_kernel: transport == Some("kernel"),
        }))
    }

    /// `dmesg --json` prints one field a line.
    fn dmesg_json(&mut self, line: &str) -> Option<Option<Unwrapped>> {
        let line = line.trim_end().trim_end_matches(',');
        if let Some(time) = line.strip_prefix("\"time\":") {
            self.timestamp_ns = prefix::seconds(time.trim());
            return Some(None);
        }
        let console = ["\"Output\":", "\"output\":"].iter().find_map(|key| line.strip_prefix(key));
        let text: String = serde_json::from_str(line.strip_prefix("\"msg\":").or(console)?.trim()).ok()?;
        // What else a console shows, firmware and programs say.
        Some(Some(Unwrapped { text, timestamp_ns: self.timestamp_ns.take(), is_kernel: console.is_none() }))
    }
}

/// A string; journald gives what is no text as a list of bytes.
fn text_of(value: &serde_json::Value) -> Option<Cow<'_, str>> {
    match value {
        serde_json::Value::String(text) => Some(Cow::Borrowed(text)),
        serde_json::Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> =
                bytes.iter().map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
            Some(Cow::Owned(String::from_utf8_lossy(&bytes?).into_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_in_json_and_in_the_journals_export() {
        let mut wrapping = Wrapping::default();
        let text =
            |opened: Option<Option<Unwrapped>>| opened.flatten().map(|record| (record.text, record.timestamp_ns));
        let docker = r#"{"log": "[    1.000000] text\n", "stream": "stdout"}"#;
        assert_eq!(text(wrapping.open(docker)), Some(("[    1.000000] text\n".to_owned(), None)));
        let cloud = r#"{"InstanceId": "i-1", "Output": "[    1.000000] text\r\n"}"#;
        assert_eq!(text(wrapping.open(cloud)), Some(("[    1.000000] text\r\n".to_owned(), None)));
        assert_eq!(text(wrapping.open(r#"    "Output": "text\r\n","#)), Some(("text\r\n".to_owned(), None)));
        // What a console shows may be firmware's or a program's.
        let opened = wrapping.open(r#""Output": "text\r\n","#).flatten().unwrap();
        assert!(!opened.is_kernel);
        // A program's message is none of the kernel's, whatever it says.
        assert_eq!(wrapping.open(r#"{"_TRANSPORT":"stdout","MESSAGE":"Kernel panic - not syncing: x"}"#), Some(None));
        let journal = r#"{"_TRANSPORT":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"1000000","MESSAGE":"text"}"#;
        assert_eq!(text(wrapping.open(journal)), Some(("text".to_owned(), Some(1_000_000_000))));
        let bytes = r#"{"MESSAGE":[116,101,120,116]}"#;
        assert_eq!(text(wrapping.open(bytes)), Some(("text".to_owned(), None)));
        assert_eq!(wrapping.open(r#"         "time":     1.500000,"#), Some(None));
        assert_eq!(
            text(wrapping.open(r#"         "msg": "a \"b\"""#)),
            Some(("a \"b\"".to_owned(), Some(1_500_000_000)))
        );
        assert_eq!(wrapping.open("_SOURCE_MONOTONIC_TIMESTAMP=2000000"), Some(None));
        assert_eq!(text(wrapping.open("MESSAGE=text")), Some(("text".to_owned(), Some(2_000_000_000))));
        for (transport, expected) in [("kernel", Some("text")), ("syslog", None)] {
            for fields in [["_TRANSPORT=", "MESSAGE=text"], ["MESSAGE=text", "_TRANSPORT="]] {
                assert_eq!(wrapping.open("__CURSOR=s=1"), Some(None));
                for field in fields {
                    let field = if field.ends_with("T=") { format!("{field}{transport}") } else { field.to_owned() };
                    assert_eq!(wrapping.open(&field), Some(None), "{field}");
                }
                assert_eq!(text(wrapping.open("")).map(|(text, _)| text).as_deref(), expected);
            }
        }
        for other in ["", "{not json", "[    1.000000] {\"log\": 1}", "Modules linked in:"] {
            assert!(wrapping.open(other).is_none(), "{other}");
        }
    }
}
