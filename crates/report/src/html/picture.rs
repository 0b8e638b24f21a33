//! Pictures of a page, as SVG that is part of it: a chain of boxes with arrows, and bars on a line of time.
//!
//! A screen reader gets each as one image with a name and a text that says the same. Colours come from the page's style
//! sheet, so that both themes and print have theirs.

use maud::{Markup, html};

use super::Shown;

/// Columns of the drawing that a character takes, by the font size of the style sheet.
const CHARACTER: usize = 8;
/// The drawing's width: what fits a phone nearly unscaled.
const WIDTH: usize = 400;
/// Characters of a line in a box.
const LINE: usize = (WIDTH - 96) / CHARACTER;
const LINE_HEIGHT: usize = 18;
/// The space between two boxes, which has an arrow with a word beside it.
const GAP: usize = 40;
/// A bar, with the space below it.
const BAR: usize = 24;

/// A box of a chain.
pub(crate) struct Step {
    /// The word beside the arrow that leads to it; none at the first.
    pub(crate) arrow: Option<String>,
    /// Its text. From the dump: untrusted.
    pub(crate) text: String,
    /// `bad`, `doubtful` or nothing in particular.
    pub(crate) class: &'static str,
}

/// Boxes below each other with arrows between them; with `closes`, the last leads back to the first.
pub(crate) fn chain(name: &str, steps: &[Step], closes: Option<&str>) -> Markup {
    let mut placed = Vec::new();
    let mut y = 4;
    for step in steps {
        y += if placed.is_empty() { 0 } else { GAP };
        let lines = broken(&step.text, LINE);
        let height = lines.len() * LINE_HEIGHT + 14;
        placed.push((step, lines, y, height));
        y += height;
    }
    let told = steps.iter().map(|step| match &step.arrow {
        Some(arrow) => format!("{arrow} {}", step.text),
        None => step.text.clone(),
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let back = closes.map(|how| format!(", {how} the first: the circle closes")).unwrap_or_default();
    let right = WIDTH - 60;
    let (first, last) = (
        placed.first().map_or(0, |(.., y, height)| y + height / 2),
        placed.last().map_or(0, |(.., y, height)| y + height / 2),
    );
    html! {
        svg.chain viewBox=(format!("0 0 {WIDTH} {}", y + 6)) role="img" aria-label=(Shown(format!("{name}: {told}{back}"))) {
            @for (step, lines, y, height) in &placed {
                @if let Some(arrow) = &step.arrow {
                    path.arrow d=(format!("M40 {} v{} m-5 -7 l5 7 l5 -7", y - GAP, GAP - 2)) {}
                    text.how x="54" y=(y - GAP / 2 + 5) { (Shown(arrow)) }
                }
                rect class=(step.class) x="4" y=(y) width=(right - 4) height=(height) rx="6" {}
                @for (index, line) in lines.iter().enumerate() {
                    text x="16" y=(y + 20 + index * LINE_HEIGHT) { (Shown(line)) }
                }
            }
            @if let Some(how) = closes {
                path.arrow.closing d=(format!("M{right} {last} h34 V{first} h-32 m7 -5 l-7 5 l7 5")) {}
                text.how x=(right + 46) y=((first + last) / 2) transform=(format!("rotate(90 {} {})", right + 46, (first + last) / 2)) text-anchor="middle" { (Shown(how)) }
            }
        }
    }
}

/// A bar of a time line: from so long ago until the end.
pub(crate) struct Bar {
    /// What it says. From the dump: untrusted.
    pub(crate) text: String,
    /// For how long, in nanoseconds.
    pub(crate) ns: u64,
    /// `bad`, `doubtful` or nothing in particular.
    pub(crate) class: &'static str,
}

impl Bar {
    /// What it says and for how long, in lines; a number stays with its unit.
    fn lines(&self) -> Vec<String> {
        let longest = (WIDTH - 32) / CHARACTER;
        let (mut lines, length) = (broken(&format!("{},", self.text), longest), crate::Duration(self.ns).to_string());
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + length.len() <= longest => {
                last.push(' ');
                last.push_str(&length);
            }
            _ => lines.push(length),
        }
        lines
    }
}

/// Bars that all end when the machine stopped.
pub(crate) fn time_line(name: &str, bars: &[Bar]) -> Markup {
    let longest = bars.iter().map(|bar| bar.ns).max().unwrap_or_default().max(1);
    let told: Vec<_> = bars.iter().map(|bar| format!("{} for {}", bar.text, crate::Duration(bar.ns))).collect();
    let width = WIDTH - 8;
    let mut placed = Vec::new();
    let mut y = 0;
    for bar in bars {
        let lines = bar.lines();
        let height = lines.len() * LINE_HEIGHT + BAR;
        placed.push((bar, lines, y));
        y += height;
    }
    let height = y + 26;
    html! {
        svg.time viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(Shown(format!("{name}: {}", told.join(", ")))) {
            @for (bar, lines, y) in &placed {
                @let length = scaled(bar.ns, longest, width);
                @for (index, line) in lines.iter().enumerate() { text x="4" y=(y + 16 + index * LINE_HEIGHT) { (Shown(line)) } }
                rect class=(bar.class) x=(4 + width - length) y=(y + lines.len() * LINE_HEIGHT + 4) width=(length) height="12" {}
            }
            path.arrow d=(format!("M{} 0 V{y}", WIDTH - 4)) {}
            text.how x="4" y=(height - 8) { (crate::Duration(longest).to_string()) " before" }
            text.how x=(WIDTH - 4) y=(height - 8) text-anchor="end" { "the machine stopped" }
        }
    }
}

/// `part` of `whole` on a line of `width`; never nothing.
fn scaled(part: u64, whole: u64, width: usize) -> usize {
    let length = u128::from(part) * width as u128 / u128::from(whole.max(1));
    usize::try_from(length).unwrap_or(width).clamp(2, width)
}

/// A text in lines that fit a box, between words where there are some.
fn broken(text: &str, longest: usize) -> Vec<String> {
    let text = crate::Sanitized::line(text).to_string();
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let characters: Vec<char> = word.chars().collect();
        for part in characters.chunks(longest) {
            let part: String = part.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + part.chars().count() <= longest => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_says_in_words_what_it_shows_and_no_text_of_a_dump_is_markup() {
        let step = |arrow: Option<&str>, text: &str| Step {
            arrow: arrow.map(str::to_owned),
            text: text.to_owned(),
            class: "",
        };
        let steps = [step(None, "task 1 \"<b>\""), step(Some("waits for"), "a lock")];
        let svg = chain("why", &steps, Some("owned by")).into_string();
        assert!(
            svg.contains("why: task 1 &quot;&lt;b&gt;&quot;, waits for a lock, owned by the first: the circle closes"),
            "{svg}"
        );
        assert!(!svg.contains("<b>") && svg.matches("<rect").count() == 2, "{svg}");
        let bars = [Bar { text: "pid 1 spins".to_owned(), ns: 4_000_000_000, class: "bad" }];
        let line = time_line("who", &bars).into_string();
        assert!(line.contains("who: pid 1 spins for 4.000 s") && line.contains("width=\"392\""), "{line}");
    }

    #[test]
    fn a_number_stays_with_its_unit() {
        let bar = Bar { text: format!("CPU 0: pid 146 \"{}\" spins", "x".repeat(15)), ns: 9_943_000_000, class: "" };
        assert_eq!(bar.lines(), ["CPU 0: pid 146 \"xxxxxxxxxxxxxxx\" spins,", "9.943 s"]);
    }

    #[test]
    fn any_text_fits() {
        for text in ["", "word", &"x".repeat(1000), &"word ".repeat(100)] {
            assert!(broken(text, LINE).iter().all(|line| line.chars().count() <= LINE), "{text}");
        }
        assert_eq!(scaled(0, 0, 100), 2);
        assert_eq!(scaled(u64::MAX, 1, 100), 100);
    }
}
