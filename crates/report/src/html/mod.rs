//! HTML: a report as one file that can be attached to a ticket and opened anywhere.
//!
//! A page has no script, picture or font and asks nobody for anything; its content security policy makes the browser
//! hold it to that, whatever a dump brought with it.

pub(crate) mod picture;

use std::fmt::Display;

use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use crate::Sanitized;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Untrusted text in a page: what a browser would act on is escaped twice, invisible characters as on a terminal and
/// markup as HTML.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: Display> Render for Shown<T> {
    fn render_to(&self, buffer: &mut String) {
        let text = self.0.to_string();
        Sanitized::line(&text).to_string().render_to(buffer);
    }
}

/// Text that was made safe to show when it was written, line by line.
pub(crate) fn preformatted(text: &[u8]) -> Markup {
    html! { pre tabindex="0" { (String::from_utf8_lossy(text)) } }
}

/// A part of a page: what its heading says, the anchor that leads to it, and what is below.
pub(crate) struct Section {
    pub(crate) anchor: &'static str,
    pub(crate) title: String,
    pub(crate) body: Markup,
}

/// Parts of a page with a table of contents before them; those that are empty are left out.
pub(crate) fn sections(sections: Vec<Section>) -> Markup {
    let sections: Vec<_> = sections.into_iter().filter(|section| !section.body.0.is_empty()).collect();
    html! {
        @if sections.len() > 2 {
            nav aria-label="Contents" { ul {
                @for section in &sections { li { a href=(format!("#{}", section.anchor)) { (Shown(&section.title)) } } }
            } }
        }
        @for section in &sections {
            section id=(section.anchor) { h2 { (Shown(&section.title)) } (section.body) }
        }
    }
}

/// A whole page.
pub(crate) fn page(title: impl Display, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="vmcore-thp";
                title { (Shown(title)) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_untrusted_is_markup() {
        let text = Shown("<script>\x1b[2J\u{202e}&\"'").render().into_string();
        assert_eq!(text, "&lt;script&gt;\\x1b[2J\\u{202e}&amp;&quot;'");
        let page = page("<b>", &html! { p title=(Shown("\" onload=\"x")) {} });
        assert!(
            page.contains("<title>&lt;b&gt;</title>") && page.contains("title=\"&quot; onload=&quot;x\""),
            "{page}"
        );
    }

    #[test]
    fn a_page_needs_nothing_else() {
        let page = page("", &html! {});
        for word in ["src=", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
