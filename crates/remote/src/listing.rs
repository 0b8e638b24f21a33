//! What a bucket has under a prefix: S3's `ListObjectsV2`, a thousand names at a time.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use ureq::http::Method;

use crate::client::{Ask, Client};
use crate::{Address, RemoteError};

/// Bytes of one page of a list: a thousand keys of the greatest length take half of it.
const MAX_PAGE: u64 = 8 << 20;
/// Objects that are listed: a plan of more is better made of parts.
const MAX_OBJECTS: usize = 10_000_000;

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// The server's mark of its content, without quotes.
    pub etag: String,
    /// When it was last changed, as ISO 8601.
    pub modified: String,
}

impl Client {
    /// The objects whose keys begin with the key of `prefix`, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]; [`RemoteError::Address`] of what is not `s3://`, which has no lists.
    pub fn list(&self, prefix: &Address) -> Result<Vec<Listed>, RemoteError> {
        let Address::S3 { key, .. } = prefix else {
            return Err(RemoteError::Address { shown: prefix.to_string(), reason: "only s3:// has lists of objects" });
        };
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            // In the order of their names, as signatures want them.
            let next = token.map(|token| format!("continuation-token={}&", in_query(&token))).unwrap_or_default();
            let ask = Ask {
                method: Method::GET,
                address: prefix,
                query: format!("{next}list-type=2&prefix={}", in_query(key)),
                headers: Vec::new(),
                body: &[],
                limit: MAX_PAGE,
                partial: false,
            };
            let answer = self.ask(&ask)?;
            let wrong = |reason: &str| RemoteError::Answer { shown: prefix.to_string(), reason: reason.to_owned() };
            let text = String::from_utf8(answer.body).map_err(|_| wrong("a list that is not text"))?;
            let page = parse(&text).ok_or_else(|| wrong("a list that cannot be read"))?;
            let is_empty = page.objects.is_empty();
            all.extend(page.objects);
            match page.next {
                None => return Ok(all),
                Some(_) if is_empty || all.len() > MAX_OBJECTS => return Err(wrong("a list without end")),
                next => token = next,
            }
        }
    }
}

fn in_query(text: &str) -> String {
    const SET: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, SET).to_string()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    objects: Vec<Listed>,
    next: Option<String>,
}

/// Reads one answer; `None` where it is not XML of this kind.
fn parse(text: &str) -> Option<Page> {
    let mut reader = Reader::from_str(text);
    let mut page = Page::default();
    let mut object: Option<Listed> = None;
    let mut at = String::new();
    let mut value = String::new();
    let mut is_list = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                at = start.local_name().as_ref().to_owned();
                value.clear();
                is_list |= at == "ListBucketResult";
                if at == "Contents" {
                    object = Some(Listed { key: String::new(), size: 0, etag: String::new(), modified: String::new() });
                }
            }
            Event::Text(text) => value.push_str(&text),
            Event::GeneralRef(name) => {
                value.push_str(&unescape(&format!("&{};", &*name)).ok()?);
            }
            Event::CData(text) => value.push_str(&text),
            Event::End(end) => {
                let name = end.local_name().as_ref().to_owned();
                if name == "Contents" {
                    page.objects.extend(object.take());
                } else if name == at {
                    let value = std::mem::take(&mut value);
                    match (&mut object, name.as_str()) {
                        (Some(object), "Key") => object.key = value,
                        (Some(object), "Size") => object.size = value.trim().parse().ok()?,
                        (Some(object), "ETag") => value.trim_matches('"').clone_into(&mut object.etag),
                        (Some(object), "LastModified") => object.modified = value,
                        (None, "NextContinuationToken") => page.next = Some(value),
                        _ => {}
                    }
                }
            }
            Event::Eof => return is_list.then_some(page),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_lists() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3/\"><Name>b</Name><Prefix>a</Prefix>\
            <IsTruncated>true</IsTruncated><Contents><Key>a &amp; b/ü&#47;vmcore</Key><LastModified>2026-11-28T03:12:45.000Z\
            </LastModified><ETag>&quot;0a-2&quot;</ETag><Size>12</Size><Owner><ID>x</ID></Owner></Contents>\
            <NextContinuationToken>1/+=</NextContinuationToken></ListBucketResult>";
        let page = parse(text).unwrap();
        let object = Listed {
            key: "a & b/ü/vmcore".into(),
            size: 12,
            etag: "0a-2".into(),
            modified: "2026-11-28T03:12:45.000Z".into(),
        };
        assert_eq!(page, Page { objects: vec![object], next: Some("1/+=".into()) });
        assert_eq!(parse("<ListBucketResult/>"), None, "never sent by anybody");
        assert_eq!(parse("<html><body>sign in</body></html>"), None);
        assert_eq!(parse("<ListBucketResult><Contents><Size>x</Size>"), None);
        assert_eq!(in_query("1/+="), "1%2F%2B%3D");
    }
}
