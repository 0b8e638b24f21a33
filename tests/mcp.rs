//! `vmcore-thp mcp` as a client sees it: a well-behaved one, a clumsy one, a hostile one.

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64").join(name)
}

/// A client with a server of its own.
struct Client {
    server: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    id: u64,
}

impl Client {
    fn start(options: &[&str]) -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
            .args(["mcp", "--quiet"])
            .args(options)
            .args([testdata("thp-livelock.vmcore"), testdata("vmlinux.profile")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        Self { server, to, from, id: 0 }
    }

    fn initialized(options: &[&str]) -> Self {
        let mut client = Self::start(options);
        let hello = client.request(
            "initialize",
            json!({
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            }),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "vmcore-thp", "{hello}");
        assert!(hello["result"]["capabilities"]["tools"].is_object(), "{hello}");
        assert!(hello["result"]["instructions"].as_str().unwrap().contains("untrusted"), "{hello}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
        client
    }

    fn send(&mut self, line: &str) {
        let to = self.to.as_mut().unwrap();
        to.write_all(line.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush()).unwrap();
    }

    /// The answer to the last request; what the server says on its own is passed over.
    fn answer(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "the server has gone");
            let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            if answer["id"] == self.id {
                return answer;
            }
        }
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": params });
        self.send(&request.to_string());
        self.answer()
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// A call that must be refused: by the protocol or by the tool; why.
    fn refused(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments.clone());
        let by_tool = answer["result"]["isError"] == true;
        assert!(by_tool || answer["error"].is_object(), "{tool} {arguments}: {answer}");
        let text = answer["result"]["content"][0]["text"].as_str().or(answer["error"]["message"].as_str());
        text.unwrap().to_owned()
    }

    /// The exit status once standard input is closed.
    fn end(mut self) -> Option<i32> {
        self.to = None;
        self.server.wait().unwrap().code()
    }
}

#[test]
fn tools_are_the_commands_and_their_answers_the_commands_json() {
    let mut client = Client::initialized(&[]);
    let listed = client.request("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names: BTreeSet<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for name in ["analyze", "bt", "ps", "info", "dmesg", "struct", "p", "locks", "dev", "explain"] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    for name in ["shell", "distill", "profile", "synth", "triage", "mcp", "log", "completions"] {
        assert!(!names.contains(name), "{name} in {names:?}");
    }
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
    }
    let verdict = client.call("analyze", json!({}));
    let found = &verdict["result"]["structuredContent"];
    assert_eq!(found["verdict"]["issue"], "thp-split-page-fault-livelock", "{verdict}");
    let direct = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .args(["analyze", "--format", "json"])
        .args([testdata("thp-livelock.vmcore"), testdata("vmlinux.profile")])
        .output()
        .unwrap();
    let direct: Value = serde_json::from_slice(&direct.stdout).unwrap();
    assert!(*found == direct, "as the command says it");
    let pid = direct["splitters"][0]["pid"].clone();
    let stack = client.call("bt", json!({ "pid": [pid] }));
    assert!(stack["result"]["structuredContent"].to_string().contains("split_huge_page_to_list"), "{stack}");
    let value = client.call("p", json!({ "words": ["init_task.comm"] }));
    assert!(value["result"]["structuredContent"].to_string().contains("swapper/0"), "{value}");
    assert_eq!(client.end(), Some(0));
}

#[test]
fn what_is_wrong_is_said_and_is_no_end() {
    let mut client = Client::initialized(&["--max-answer", "20000"]);
    assert!(client.refused("no-such-tool", json!({})).contains("no tool"));
    assert!(client.refused("bt", json!({ "no_such_argument": 1 })).contains("no argument"));
    assert!(client.refused("bt", json!({ "pid": ["not-a-number"] })).contains("not-a-number"));
    assert!(client.refused("p", json!({ "words": ["no_such_variable"] })).contains("no_such_variable"));
    assert!(client.refused("bt", json!({ "all": true })).contains("allowed"), "too long an answer");
    let unknown = client.request("no/such/method", json!({}));
    assert!(unknown["error"].is_object(), "{unknown}");
    // Lines that are no message are passed over or answered with an error.
    for line in ["", "garbage", "{", "[]", "null", "{\"jsonrpc\":\"2.0\"}", "\u{0}\u{1}", "{\"id\":{}}"] {
        client.send(line);
    }
    client.send(&"x".repeat(3 << 20));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    client.send(&deep);
    let info = client.call("info", json!({}));
    assert!(info["result"]["structuredContent"]["kernel"]["release"].is_string(), "{info}");
    assert_eq!(client.end(), Some(0));
}

#[test]
fn a_hostile_client_gets_no_file_and_no_program() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = directory.path().join("written");
    let path = wanted.to_str().unwrap();
    let mut client = Client::initialized(&[]);
    for (tool, arguments) in [
        ("analyze", json!({ "output": path })),
        ("analyze", json!({ "--output": path })),
        ("analyze", json!({ "vmcore": "/etc/passwd" })),
        ("analyze", json!({ "vmlinux": "/etc/passwd" })),
        ("analyze", json!({ "debug_dir": ["/"] })),
        ("analyze", json!({ "cache": path })),
        ("p", json!({ "words": [format!("--output={path}"), "init_task.pid"] })),
        ("p", json!({ "words": ["--help"] })),
        ("p", json!({ "words": ["init_task.pid | sh -c id"] })),
        ("p", json!({ "words": ["$(id)"] })),
        ("sym", json!({ "words": ["!id"] })),
        ("distill", json!({ "output": path })),
        ("shell", json!({ "command": ["!id"] })),
        ("profile", json!({ "vmlinux": "/etc/passwd", "output": path })),
        ("rd", json!({ "words": ["0xffffffffffffffff", "18446744073709551615"] })),
        ("list", json!({ "words": ["\u{0}"] })),
        ("bt", json!({ "pid": [i64::MIN] })),
        ("bt", json!([1, 2])),
        ("bt", json!("text")),
    ] {
        let why = client.refused(tool, arguments);
        assert!(!why.is_empty());
    }
    assert!(!wanted.exists());
    // It is there still, and answers.
    assert!(client.call("runq", json!({}))["result"]["structuredContent"].is_object());
    assert_eq!(client.end(), Some(0));
}

#[test]
fn a_client_that_goes_away_ends_the_server() {
    // Before a word, in the middle of a message, and with calls that nobody waits for.
    assert!(Client::start(&[]).end().is_some());
    let mut client = Client::start(&[]);
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"");
    assert!(client.end().is_some());
    let mut client = Client::initialized(&[]);
    for id in 100..120 {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "info" } });
        client.send(&call.to_string());
    }
    assert!(client.end().is_some());
}
