//! The answer as parts of a page.

use maud::{Markup, html};

use super::{KnownIssue, Remedy};
use crate::html::Shown;

pub(crate) fn known_issue(known: &KnownIssue<'_>) -> Markup {
    html! {
        p { (Shown(known.mechanism)) }
        dl {
            dt { "id" } dd { (Shown(known.id)) }
            dt { "here" } dd { (known.in_this_kernel) ": " (Shown(known.why)) }
            dt { "affects" } dd { (Shown(known.affected)) }
            dt { "fixed by" } dd { (Shown(known.fixed_by)) }
        }
    }
}

pub(crate) fn remedies(remedies: &[Remedy<'_>]) -> Markup {
    html! {
        @if !remedies.is_empty() {
            ol {
                @for remedy in remedies {
                    li {
                        (Shown(remedy.action))
                        p.dim { (Shown(remedy.why)) }
                        @if let Some(command) = remedy.command { pre.command tabindex="0" { (Shown(command)) } }
                    }
                }
            }
        }
    }
}
