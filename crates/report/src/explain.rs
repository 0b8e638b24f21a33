//! `explain`: what is known of an issue, whatever machine has it.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose::Issue;

use crate::wrap::Lines;
use crate::{Painted, Report, Theme, names};

/// Issues: one, or all of them.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Explain")]
pub struct Explain {
    /// The issues, those first that say most of why a machine stopped.
    pub issues: Vec<Explained>,
}

/// An issue.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Explained")]
pub struct Explained {
    /// Its stable name.
    pub id: &'static str,
    /// How serious it is as long as it lasts: `info`, `warning` or `critical`.
    #[schemars(schema_with = "names::severity")]
    pub severity: &'static str,
    /// What it is, in one sentence.
    pub summary: &'static str,
    /// How it comes about and what is looked for: the guide's section on it and its kin, in Markdown. Null in a list of all.
    pub guide: Option<String>,
    /// What to do first; null where nothing has to be done, or where the known bug behind it says what.
    pub remedy: Option<&'static str>,
    /// What that achieves.
    pub why: Option<&'static str>,
}

impl Explain {
    /// All issues, in one line each.
    #[must_use]
    pub fn all() -> Self {
        Self { issues: Issue::ALL.into_iter().map(|issue| Explained::new(issue, None)).collect() }
    }

    /// One issue, with its section of `guide`, which is the text of `docs/verdicts.md`.
    #[must_use]
    pub fn one(issue: Issue, guide: &str) -> Self {
        Self { issues: vec![Explained::new(issue, section(guide, issue.id()))] }
    }
}

impl Explained {
    fn new(issue: Issue, guide: Option<String>) -> Self {
        let definition = issue.definition();
        Self {
            id: definition.id,
            severity: definition.severity.name(),
            summary: definition.summary,
            guide,
            remedy: definition.remedy.map(|(action, _)| action),
            why: definition.remedy.map(|(_, why)| why),
        }
    }
}

/// What stands under the heading that an issue has of its own.
fn section(guide: &str, id: &str) -> Option<String> {
    let heading = format!("### `{id}`");
    let behind = guide.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<_> = behind.take_while(|line| !line.starts_with('#')).collect();
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

impl Report for Explain {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let [issue] = self.issues.as_slice() else {
            return self.issues.iter().try_for_each(|issue| {
                let name = format_args!("{:29}", issue.id);
                writeln!(out, "{} {:8} {}", Painted(theme.heading, name), issue.severity, issue.summary)
            });
        };
        writeln!(out, "{} ({})", Painted(theme.heading, issue.id), issue.severity)?;
        write!(out, "{}", Lines::new(2, issue.summary).within(theme.width))?;
        if let Some(guide) = &issue.guide {
            writeln!(out)?;
            for paragraph in paragraphs(guide) {
                if paragraph.is_empty() {
                    writeln!(out)?;
                } else {
                    write!(out, "{}", Lines::new(2, &paragraph).within(theme.width))?;
                }
            }
        }
        if let (Some(remedy), Some(why)) = (issue.remedy, issue.why) {
            writeln!(out, "\n{}", Painted(theme.heading, "What to do"))?;
            write!(out, "{}{}", Lines::new(2, remedy).within(theme.width), Lines::new(4, why).within(theme.width))?;
        }
        Ok(())
    }
}

/// Markdown as text to be filled into lines: what is set apart by a blank line, or begins an item, stays apart.
fn paragraphs(markdown: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in markdown.lines() {
        let is_item =
            line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok()) || line.starts_with("- ");
        match found.last_mut() {
            Some(last) if !is_item && !line.is_empty() && !last.is_empty() => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => found.push(line.to_owned()),
        }
    }
    found.iter().map(|text| text.replace(['`', '*'], "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = include_str!("../../../docs/verdicts.md");

    #[test]
    fn every_issue_is_explained_by_the_guide() {
        for issue in Issue::ALL {
            let explain = Explain::one(issue, GUIDE);
            let text = explain.issues[0].guide.as_ref().unwrap();
            assert!(text.len() > 40 && !text.contains("\n#"), "{}: {text}", issue.id());
            let mut out = Vec::new();
            explain.write_text(&mut out, &Theme::plain()).unwrap();
            let shown = String::from_utf8(out).unwrap();
            assert!(shown.starts_with(issue.id()) && shown.contains(issue.definition().summary), "{shown}");
        }
    }

    #[test]
    fn items_and_paragraphs_stay_apart() {
        assert_eq!(
            paragraphs("one `a`\ntwo\n\n1. first\n  more\n2. *second*"),
            ["one a two", "", "1. first more", "2. second"]
        );
    }
}
