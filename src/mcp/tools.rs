//! Tools from commands: their names, their descriptions, the schemas of their arguments; and back, from a call's arguments to
//! the words of a command line.

use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};

/// Commands that look at the dump that is open and do nothing else.
const COMMANDS: [&str; 29] = [
    "analyze",
    "bt",
    "ps",
    "mod",
    "runq",
    "dmesg",
    "info",
    "vtop",
    "struct",
    "p",
    "rd",
    "sym",
    "dis",
    "list",
    "tree",
    "search",
    "timer",
    "irq",
    "waitq",
    "workqueue",
    "locks",
    "rcu",
    "dev",
    "files",
    "mount",
    "net",
    "kmem",
    "swap",
    "explain",
];
/// What says where the dump and its debug information are: that is settled.
const OF_THE_INPUT: [&str; 12] = [
    "vmcore",
    "vmlinux",
    "part",
    "vmcoreinfo",
    "kernel_at",
    "which",
    "debug_dir",
    "no_debuginfod",
    "cache",
    "cache_size",
    "no_cache",
    "help",
];
/// How text is laid out: answers are JSON.
const OF_TEXT: [&str; 2] = ["brief", "wide"];
/// Where the dump stands on a command line.
const DUMP: &str = "VMCORE";
/// More words than any command takes.
const MAX_WORDS: usize = 64;

/// A command as a tool.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) input_schema: Map<String, Value>,
}

/// All tools.
pub(super) fn all(program: &Command) -> Vec<Tool> {
    let commands = COMMANDS.iter().filter_map(|name| program.find_subcommand(name));
    commands.map(tool).collect()
}

fn tool(command: &Command) -> Tool {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for argument in arguments(command) {
        properties.insert(argument.get_id().to_string(), property(command, argument));
        if argument.is_required_set() && argument.get_id() != "words" {
            required.push(Value::from(argument.get_id().as_str()));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("required".to_owned(), required.into());
    schema.insert("additionalProperties".to_owned(), false.into());
    Tool { name: command.get_name().to_owned(), description: about, input_schema: schema }
}

/// The arguments that a caller may set.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_own = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        !argument.is_global_set() && !OF_THE_INPUT.contains(&id) && !OF_TEXT.contains(&id)
    };
    command.get_arguments().filter(is_own)
}

fn property(command: &Command, argument: &Arg) -> Value {
    let mut about = argument.get_help().map(ToString::to_string).unwrap_or_default();
    if argument.get_id() == "words" {
        // What stands behind the dump on the command line.
        let usage = command.clone().render_usage().to_string();
        let own = usage.split_once("[VMLINUX]").map_or("", |(_, rest)| rest).trim();
        about = format!("What the command is to look at, a word each: {own}");
        return json!({ "type": "array", "items": { "type": "string" }, "maxItems": MAX_WORDS, "description": about });
    }
    if !argument.get_action().takes_values() {
        return json!({ "type": "boolean", "description": about });
    }
    let values: Vec<_> = argument.get_possible_values().iter().map(|value| Value::from(value.get_name())).collect();
    let one = if values.is_empty() { json!({ "type": ["string", "integer"] }) } else { json!({ "enum": values }) };
    let Value::Object(mut property) =
        (if takes_several(argument) { json!({ "type": "array", "items": one, "maxItems": MAX_WORDS }) } else { one })
    else {
        return json!({});
    };
    property.insert("description".to_owned(), about.into());
    property.into()
}

fn takes_several(argument: &Arg) -> bool {
    let several = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    several || matches!(argument.get_action(), ArgAction::Append)
}

/// The words that a call means, or why it means none.
pub(super) fn words(program: &Command, tool: &str, given: &Map<String, Value>) -> Result<Vec<String>, String> {
    let known = COMMANDS.contains(&tool).then(|| program.find_subcommand(tool)).flatten();
    let command = known.ok_or_else(|| format!("there is no tool '{tool}'"))?;
    let mut words = vec!["vmcore-thp".to_owned(), tool.to_owned()];
    let mut positional = Vec::new();
    let takes_dump = command.get_arguments().any(|argument| ["vmcore", "words"].contains(&argument.get_id().as_str()));
    if takes_dump {
        positional.push(DUMP.to_owned());
    }
    for (name, value) in given {
        let argument = arguments(command).find(|argument| argument.get_id() == name.as_str());
        let argument = argument.ok_or_else(|| format!("'{tool}' has no argument '{name}'"))?;
        if !argument.get_action().takes_values() {
            match value {
                Value::Bool(true) => words.extend(argument.get_long().map(|long| format!("--{long}"))),
                Value::Bool(false) => {}
                _ => return Err(format!("'{name}' is true or false")),
            }
            continue;
        }
        let values = values(name, value, takes_several(argument))?;
        match argument.get_long() {
            // In one word with its value, which so begins no option of its own.
            Some(long) => words.extend(values.iter().map(|value| format!("--{long}={value}"))),
            None => positional.extend(values),
        }
    }
    words.extend(["--format=json".to_owned(), "--color=never".to_owned(), "--quiet".to_owned(), "--".to_owned()]);
    words.extend(positional);
    Ok(words)
}

/// The words of a value.
fn values(name: &str, value: &Value, several: bool) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) if !text.contains('\0') => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let all = match value {
        Value::Array(items) if several && items.len() <= MAX_WORDS => items.iter().map(one).collect(),
        Value::Array(_) => None,
        single => one(single).map(|word| vec![word]),
    };
    all.ok_or_else(|| format!("'{name}' is a word or a number{}", if several { ", or a list of them" } else { "" }))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_tool_is_a_command_with_a_description_and_a_schema() {
        let tools = all(&Cli::command());
        assert_eq!(tools.len(), COMMANDS.len());
        for tool in &tools {
            assert!(!tool.description.is_empty(), "{}", tool.name);
            let properties = tool.input_schema["properties"].as_object().unwrap();
            for forbidden in ["output", "force", "vmcore", "vmlinux", "debug_dir", "cache", "vmcoreinfo", "timeout"] {
                assert!(!properties.contains_key(forbidden), "{} {forbidden}", tool.name);
            }
        }
    }

    #[test]
    fn no_value_becomes_an_option_and_no_option_of_a_file_is_there() {
        let program = Cli::command();
        let call = |tool: &str, given: Value| words(&program, tool, given.as_object().unwrap());
        let made = call("p", json!({ "words": ["--output=/tmp/x", "-h"], "hex": true })).unwrap();
        let end = made.iter().position(|word| word == "--").unwrap();
        assert_eq!(made[end + 1..], ["VMCORE", "--output=/tmp/x", "-h"]);
        assert!(made[..end].contains(&"--hex".to_owned()));
        for (tool, given) in [
            ("p", json!({ "output": "/tmp/x" })),
            ("bt", json!({ "vmlinux": "/etc/passwd" })),
            ("bt", json!({ "debug_dir": ["/"] })),
            ("bt", json!({ "all": "yes" })),
            ("bt", json!({ "pid": { "a": 1 } })),
            ("p", json!({ "words": vec!["x"; 1000] })),
            ("shell", json!({})),
            ("distill", json!({})),
            ("synth", json!({})),
            ("triage", json!({})),
        ] {
            assert!(call(tool, given.clone()).is_err(), "{tool} {given}");
        }
    }
}
