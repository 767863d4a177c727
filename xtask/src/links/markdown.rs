//! The little of Markdown that links need: where they stand, and which anchors headings give. Code blocks and
//! code spans are text, not links.

use std::collections::{BTreeMap, BTreeSet};

/// Line and target of every link, image and reference definition.
pub(super) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code_spans(line);
        if let Some(target) = definition(&line) {
            found.push((number, target));
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            let target = target.trim_start_matches('<').trim_end_matches('>');
            if !target.is_empty() {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// The anchors that a forge gives to the headings, and those written by hand.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        for mark in ["id=\"", "name=\""] {
            let by_hand = line.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
            anchors.extend(by_hand.map(str::to_owned));
        }
        let level = line.chars().take_while(|c| *c == '#').count();
        if !(1..=6).contains(&level) || !line[level..].starts_with(' ') {
            continue;
        }
        let slug = slug(&line[level..]);
        let times = seen.entry(slug.clone()).or_insert(0);
        anchors.insert(if *times == 0 { slug } else { format!("{slug}-{times}") });
        *times += 1;
    }
    anchors
}

/// Lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((index + 1, line)),
            (Some(_), _) => {}
        }
        None
    })
}

fn definition(line: &str) -> Option<String> {
    let (label, rest) = line.strip_prefix('[')?.split_once("]:")?;
    // `[^1]: …` is a footnote.
    (!label.starts_with('^')).then(|| rest.split_whitespace().next().map(str::to_owned)).flatten()
}

fn without_code_spans(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // An odd number of marks leaves the last one open: the rest is prose again.
    let closed = if parts.len() % 2 == 1 { parts.len() } else { parts.len() - 1 };
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| if index % 2 == 1 && index < closed { "code" } else { part })
        .collect()
}

fn slug(heading: &str) -> String {
    let plain = without_targets(heading.trim());
    plain
        .to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' => Some('-'),
            '-' | '_' => Some(character),
            other => other.is_alphanumeric().then_some(other),
        })
        .collect()
}

/// `[text](target)` leaves its text.
fn without_targets(heading: &str) -> String {
    let mut plain = String::new();
    let mut rest = heading;
    while let Some(at) = rest.find("](") {
        plain.push_str(&rest[..at]);
        rest = rest[at..].find(')').map_or("", |end| &rest[at + end + 1..]);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(heading: &str, expected: &str) {
        let anchors: Vec<String> = anchors(heading).into_iter().collect();
        assert_eq!(anchors, [expected]);
    }

    #[test]
    fn headings_become_anchors_as_on_a_forge() {
        check("# Five minutes", "five-minutes");
        check("## 1. `haus up` – what it does?", "1-haus-up--what-it-does");
        check("### Größe & Maß", "größe--maß");
        check("## See [the guide](a.md)", "see-the-guide");
        check("<a id=\"by-hand\"></a>", "by-hand");
    }

    #[test]
    fn code_holds_neither_links_nor_headings() {
        let text = "```\n[a](b)\n# x\n```\n~~~\n```\n[a](b)\n~~~\n`[a](b)` and [c](d)\n";
        assert_eq!(links(text), [(9, "d".to_owned())]);
        assert!(anchors(text).is_empty());
    }

    #[test]
    fn a_lone_mark_does_not_hide_the_rest_of_the_line() {
        assert_eq!(links("a ` mark [c](d)\n"), [(1, "d".to_owned())]);
    }
}
