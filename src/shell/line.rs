//! A line of the shell: words with quotes as in a shell, and where the output goes.

use crate::failure::Failure;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    pub(super) sink: Sink,
}

/// Where the output goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sink {
    Print,
    /// Through a program, as `sh` understands it.
    Pipe(String),
    /// To a new file.
    File(String),
}

impl Line {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            match character {
                '\'' | '"' => {
                    let inside = word.get_or_insert_default();
                    let mut closed = false;
                    while let Some((_, inner)) = characters.next() {
                        match inner {
                            _ if inner == character => {
                                closed = true;
                                break;
                            }
                            '\\' if character == '"' => inside.extend(characters.next().map(|(_, escaped)| escaped)),
                            _ => inside.push(inner),
                        }
                    }
                    if !closed {
                        return Err(Failure::new(format_args!("a quote {character} is not closed")));
                    }
                }
                '\\' => word.get_or_insert_default().extend(characters.next().map(|(_, escaped)| escaped)),
                // `||` and `>>` are operators of expressions; `->` is part of one.
                '|' if word.is_none() && !words.is_empty() => {
                    let rest = text.get(at + 1..).unwrap_or_default().trim();
                    return Self::ended(words, Sink::Pipe(rest.to_owned()), rest, "expected a program after '|'");
                }
                '>' if word.is_none() && starts_a_file(text, at) => {
                    let rest = text.get(at + 1..).unwrap_or_default().trim();
                    return Self::ended(words, Sink::File(rest.to_owned()), rest, "expected a file after '>'");
                }
                space if space.is_whitespace() => words.extend(word.take()),
                other => word.get_or_insert_default().push(other),
            }
        }
        words.extend(word);
        Ok(Self { words, sink: Sink::Print })
    }

    fn ended(words: Vec<String>, sink: Sink, rest: &str, missing: &str) -> Result<Self, Failure> {
        if rest.is_empty() { Err(Failure::new(missing)) } else { Ok(Self { words, sink }) }
    }
}

/// Whether the `>` at `at` is followed by the one word that ends the line, and is no operator: `p 3 > 2` has numbers.
fn starts_a_file(text: &str, at: usize) -> bool {
    let rest = text.get(at + 1..).unwrap_or_default().trim();
    let number = rest.starts_with(|first: char| first.is_ascii_digit());
    !rest.starts_with(['>', '=']) && !number && rest.split_whitespace().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Line::parse(text).unwrap().words
    }

    #[test]
    fn words_are_split_as_in_a_shell() {
        assert_eq!(words("p 'a b' \"c \\\" d\" e\\ f"), ["p", "a b", "c \" d", "e f"]);
        assert_eq!(words("p init_task.mm->pgd"), ["p", "init_task.mm->pgd"]);
        assert_eq!(words("p 1 << 2 >> 1"), ["p", "1", "<<", "2", ">>", "1"]);
        assert_eq!(words("p a|b 3 > 2"), ["p", "a|b", "3", ">", "2"]);
        assert_eq!(words("   "), Vec::<String>::new());
        assert!(Line::parse("p 'a").is_err());
    }

    #[test]
    fn output_goes_through_a_program_or_to_a_file() {
        let line = Line::parse("ps | grep -c 'D | R' | head").unwrap();
        assert_eq!((line.words, line.sink), (vec!["ps".to_owned()], Sink::Pipe("grep -c 'D | R' | head".to_owned())));
        let line = Line::parse("bt --all > /tmp/stacks").unwrap();
        assert_eq!(line.sink, Sink::File("/tmp/stacks".to_owned()));
        assert!(Line::parse("ps |").is_err() && Line::parse("ps > ").is_ok_and(|line| line.words.len() == 2));
    }
}
