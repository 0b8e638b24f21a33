//! The one client for all servers of objects, what was fetched with it, and what must not be seen of addresses.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use vmcore_remote::{Client, Settings};

/// All requests go through this one, which is made when the first is.
static CLIENT: OnceLock<Arc<Client>> = OnceLock::new();

pub(crate) fn client() -> Arc<Client> {
    Arc::clone(CLIENT.get_or_init(|| Arc::new(Client::new(Settings::read(|name| std::env::var_os(name))))))
}

/// Bytes that were fetched so far.
pub(crate) fn received() -> u64 {
    CLIENT.get().map_or(0, |client| client.received())
}

/// Says with `-v` what was fetched, at the end.
pub(crate) fn tell() {
    if let Some(client) = CLIENT.get() {
        tracing::info!("fetched {} bytes in {} requests", client.received(), client.requests());
    }
}

/// A message for people, in which the query of an address is left out: of a presigned one it is the key.
///
/// Messages have the names that [`Address`](vmcore_remote::Address) shows. This is for paths that are not meant to be addresses,
/// and for words of a command line that is none.
pub(crate) fn without_queries(message: &str) -> Cow<'_, str> {
    if !message.contains("://") {
        return Cow::Borrowed(message);
    }
    message.split_inclusive(char::is_whitespace).map(word_without_query).collect::<String>().into()
}

/// Of one word with what ends it. Where it is in quotes, they stay.
fn word_without_query(word: &str) -> Cow<'_, str> {
    let query = word.split_once("://").and_then(|(_, rest)| rest.split_once('?')).map(|(_, query)| query);
    let Some(query) = query else { return Cow::Borrowed(word) };
    let place = word.strip_suffix(query).unwrap_or_default();
    let end = query.trim_start_matches(|letter: char| letter != '\'' && !letter.is_whitespace());
    // A quotation mark in the query is part of the key.
    let end = if end.trim_end() == "'" { end } else { end.trim_start_matches(|letter: char| !letter.is_whitespace()) };
    format!("{place}…{end}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_left_out() {
        let message = "cannot open https://host/a?X-Amz-Signature=s: No such file, nor s3://b/k";
        assert_eq!(without_queries(message), "cannot open https://host/a?… No such file, nor s3://b/k");
        assert_eq!(without_queries("why? a://b is there"), "why? a://b is there");
        let usage =
            "error: unexpected argument 'https://h/a?X-Sig=s' found\n\nUsage: p 'https://h/b?k='x'\nend a://b?c'd";
        let shown = "error: unexpected argument 'https://h/a?…' found\n\nUsage: p 'https://h/b?…\nend a://b?…";
        assert_eq!(without_queries(usage), shown);
    }
}
