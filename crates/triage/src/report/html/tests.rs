use super::*;
use crate::input::ItemKind;
use crate::{Signature, Summary};

fn row(key: &str) -> Row {
    Row {
        key: key.to_owned(),
        tool: "1".to_owned(),
        kind: ItemKind::Dump,
        paths: vec![format!("/pile/{key}")],
        size: 1,
        host: None,
        crashed: Some(1_795_874_709),
        finished: 0,
        elapsed_ns: 0,
        failure: None,
        from_log: false,
        summary: Summary {
            issue: Some("oops".to_owned()),
            confidence: Some("confirmed".to_owned()),
            ..Summary::default()
        },
        signature: Signature { exact: "oops | f".to_owned(), similar: "oops".to_owned() },
        crash: None,
    }
}

fn page_of(rows: Vec<Row>) -> String {
    page(&Pile::of(rows, &|_, _| None, PAGE), 0, &|_| None, &|_| None)
}

#[test]
fn what_a_dump_says_is_never_markup_nor_script() {
    let evil = "</script><script>alert(1)</script>\x1b[2J";
    let mut hostile = row("a");
    hostile.paths = vec![evil.to_owned()];
    hostile.host = Some(evil.to_owned());
    hostile.summary.text = Some(evil.to_owned());
    hostile.summary.release = Some(evil.to_owned());
    hostile.signature.exact = evil.to_owned();
    let page = page_of(vec![hostile]);
    assert_eq!(page.matches("<script").count(), 2, "the table's data and the program");
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains('\x1b'));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let page = page_of(vec![row("a")]);
    for word in ["src=", "url(", "@import", "http://", "https://", "fetch(", "innerHTML"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("script-src 'sha256-"));
}

#[test]
fn a_large_pile_is_cut_and_says_so() {
    let rows = (0..PAGE.newest + 5).map(|number| row(&number.to_string())).collect();
    let page = page_of(rows);
    assert!(page.contains("5 older ones are left out"));
    assert!(page.len() < 3 << 20, "{}", page.len());
}
