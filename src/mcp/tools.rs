//! Tools from commands: their names, their descriptions, the schemas of their arguments; and back, from a call's arguments to
//! the words of a command line.

use clap::{Arg, ArgAction, Command};
use serde_json::{Map, Value, json};

/// Commands that are not served.
const NOT_SERVED: [&str; 12] = [
    // What they write is for other programs, and long.
    "distill",
    "profile",
    "drgn-script",
    // They open a dump themselves, and run commands on it.
    "shell",
    "mcp",
    // They are about other files, or about none.
    "triage",
    "log",
    "synth",
    "schema",
    "completions",
    "man",
    "help",
];
/// The command that is served though it takes no dump: what an answer of `analyze` leads to.
const BESIDES: &str = "explain";
/// What a command's argument with the dump is called: `words` has others behind it.
const OF_THE_DUMP: [&str; 2] = ["vmcore", "words"];
/// What says where the dump and its debug information are: that is settled.
const OF_THE_INPUT: [&str; 14] = [
    "vmcore",
    "vmlinux",
    "part",
    "vmcoreinfo",
    "kernel_at",
    "which",
    "debug_dir",
    "debug_file",
    "no_debuginfod",
    "cache",
    "cache_size",
    "no_cache",
    "share_profiles",
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
    program.get_subcommands().filter(|command| is_served(command)).map(tool).collect()
}

/// Whether a command looks at the dump that is open and does nothing else.
fn is_served(command: &Command) -> bool {
    let name = command.get_name();
    (takes_dump(command) || name == BESIDES) && !NOT_SERVED.contains(&name)
}

fn takes_dump(command: &Command) -> bool {
    command.get_arguments().any(|argument| OF_THE_DUMP.contains(&argument.get_id().as_str()))
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
    let known = program.get_subcommands().find(|command| command.get_name() == tool && is_served(command));
    let command = known.ok_or_else(|| format!("there is no tool '{tool}'"))?;
    let mut words = vec!["vmcore-thp".to_owned(), tool.to_owned()];
    let mut positional = Vec::new();
    if takes_dump(command) {
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
        assert!(tools.len() > 20, "{tools:?}");
        for tool in &tools {
            assert!(!tool.description.is_empty(), "{}", tool.name);
            let properties = tool.input_schema["properties"].as_object().unwrap();
            for forbidden in ["output", "force", "vmcore", "vmlinux", "debug_dir", "cache", "vmcoreinfo", "timeout"] {
                assert!(!properties.contains_key(forbidden), "{} {forbidden}", tool.name);
            }
        }
    }

    /// A new command that takes a dump is served; whether it may be, and whether one that takes none should be, is to be said.
    #[test]
    fn every_command_is_served_or_excepted() {
        let program = Cli::command();
        let commands: Vec<_> = program.get_subcommands().collect();
        for command in &commands {
            let name = command.get_name();
            assert_ne!(
                is_served(command),
                NOT_SERVED.contains(&name),
                "{name}: add it to NOT_SERVED, or let it take a dump"
            );
        }
        for name in NOT_SERVED.iter().filter(|name| **name != "help") {
            assert!(commands.iter().any(|command| command.get_name() == *name), "there is no command '{name}'");
        }
        assert!(program.find_subcommand(BESIDES).is_some_and(|command| !takes_dump(command)));
    }

    #[test]
    fn no_tool_takes_the_name_of_a_file() {
        let program = Cli::command();
        let path = std::any::TypeId::of::<std::path::PathBuf>();
        let takes_path = |argument: &Arg| argument.get_value_parser().type_id() == path;
        let served = || program.get_subcommands().filter(|command| is_served(command));
        for command in served() {
            let paths: Vec<_> = arguments(command).filter(|argument| takes_path(argument)).collect();
            assert!(paths.is_empty(), "{}: {paths:?}", command.get_name());
        }
        // Those of the input do, so that it can be seen here.
        assert!(served().any(|command| command.get_arguments().any(takes_path)));
    }

    #[test]
    fn the_guide_names_every_tool() {
        let guide = include_str!("../../docs/mcp.md");
        let list = guide.split("## Tools").nth(1).and_then(|text| text.split(": the commands").next()).unwrap();
        let named: Vec<_> = list.split('`').skip(1).step_by(2).collect();
        let tools = all(&Cli::command());
        assert_eq!(named, tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>());
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
