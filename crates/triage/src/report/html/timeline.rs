//! Crashes by day, as bars.

use maud::{Markup, html};

use crate::clock;
use crate::pile::Pile;

/// Days that are drawn: the last of them.
const DAYS: i64 = 120;
const DAY: i64 = 86400;
const WIDTH: i64 = 960;
const HEIGHT: usize = 120;

/// The bars of the days up to the last crash.
pub(super) fn draw(pile: &Pile) -> Markup {
    let days = &pile.days;
    let Some(last) = days.keys().next_back().copied() else { return html! {} };
    let first = days.keys().next().copied().unwrap_or(last).max(last - DAYS + 1);
    let shown = last - first + 1;
    let most = days.range(first..=last).map(|(_, (problems, others))| problems + others).max().unwrap_or(1).max(1);
    let width = (WIDTH / shown).clamp(2, 40);
    let scale = |count: usize| (count * HEIGHT).div_ceil(most);
    html! {
        h2 #time { "By day" }
        div.wide tabindex="0" role="region" aria-label="Days" {
            svg.days viewBox=(format!("0 0 {} {}", width * shown, HEIGHT + 18)) width=(width * shown) height=(HEIGHT + 18) role="img" aria-label="Crashes by day" {
                @for (day, &(with_a_problem, without)) in days.range(first..=last) {
                    @let x = (day - first) * width;
                    @let problems = scale(with_a_problem);
                    @let others = scale(without).min(HEIGHT.saturating_sub(problems));
                    g {
                        title { (clock::day(day * DAY)) ": " (with_a_problem) " with a problem, " (without) " others" }
                        rect.bad x=(x) y=(HEIGHT - problems) width=(width - 1) height=(problems) {}
                        rect.other x=(x) y=(HEIGHT - problems - others) width=(width - 1) height=(others) {}
                    }
                }
            }
        }
        p.dim { (clock::day(first * DAY)) " to " (clock::day(last * DAY)) ", at most " (most) " a day; in colour those with a problem" }
        @if days.keys().next().is_some_and(|&earliest| earliest < first) { p.dim { "Older ones are not drawn." } }
    }
}
