//! What must not be seen of addresses where people are told something: the query, which of a presigned address is its key, and
//! the name and password before the host.
//!
//! Messages have the names that [`Address`](vmcore_remote::Address) shows. This is for what is not meant to be an address, for words of
//! a command line that is none, and for servers that the environment names.

use std::borrow::Cow;

/// `message` without them.
pub(crate) fn without_secrets(message: &str) -> Cow<'_, str> {
    if !message.contains("://") {
        return Cow::Borrowed(message);
    }
    message.split_inclusive(char::is_whitespace).map(of_word).collect::<String>().into()
}

/// One word with what ends it. Where it is in quotes, they stay.
fn of_word(word: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = word.split_once("://") else { return Cow::Borrowed(word) };
    let ends = |letter: char| matches!(letter, '/' | '?' | '#' | '\'' | '"') || letter.is_whitespace();
    let (authority, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(_, host)| ("…@", host));
    let Some((place, query)) = rest.split_once('?') else {
        return format!("{scheme}://{user}{host}{}", of_word(rest)).into();
    };
    let end = query.trim_start_matches(|letter: char| letter != '\'' && !letter.is_whitespace());
    // A quotation mark in the query is part of the key.
    let end = if end.trim_end() == "'" { end } else { end.trim_start_matches(|letter: char| !letter.is_whitespace()) };
    format!("{scheme}://{user}{host}{}?…{end}", of_word(place)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_left_out() {
        let message = "cannot open https://host/a?X-Amz-Signature=s: No such file, nor s3://b/k";
        assert_eq!(without_secrets(message), "cannot open https://host/a?… No such file, nor s3://b/k");
        assert_eq!(without_secrets("why? a://b is there"), "why? a://b is there");
        let usage =
            "error: unexpected argument 'https://h/a?X-Sig=s' found\n\nUsage: p 'https://h/b?k='x'\nend a://b?c'd";
        let shown = "error: unexpected argument 'https://h/a?…' found\n\nUsage: p 'https://h/b?…\nend a://b?…";
        assert_eq!(without_secrets(usage), shown);
    }

    #[test]
    fn names_and_passwords_are_left_out() {
        for (message, shown) in [
            ("'https://user:pass@host/a' is", "'https://…@host/a' is"),
            ("https://u:p@w@host:8000", "https://…@host:8000"),
            ("s3://b/k?a, a://u@h?b=c'\n", "s3://b/k?… a://…@h?…'\n"),
            ("a://h/,b://u:p@h2/c?d", "a://h/,b://…@h2/c?…"),
            ("mail me@host, s3://bucket/a@b", "mail me@host, s3://bucket/a@b"),
        ] {
            assert_eq!(without_secrets(message), shown);
        }
    }
}
