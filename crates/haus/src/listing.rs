//! Plain tables and pages of facts. Whatever others chose (names, reasons, addresses) is made harmless for
//! the terminal here. It does not know what is listed.

use crate::terminal::harmless;
use std::fmt::Write;

/// What stands where there is nothing.
pub(crate) const NOTHING: &str = "-";

/// A table: a heading, then rows of as many cells. The last column may be as wide as it likes.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| cell_text(cell))).collect();
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&heading, widths);
    rows.iter().for_each(|row| text.push_str(&line(&row.each_ref().map(String::as_str), widths)));
    text
}

fn line<const N: usize>(cells: &[&str; N], widths: [usize; N]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = if at == 0 { "" } else { "  " };
        // Writing into a String cannot fail.
        let _ = if at + 1 == N { write!(text, "{gap}{cell}") } else { write!(text, "{gap}{cell:<width$}") };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn cell_text(cell: &str) -> String {
    if cell.is_empty() { NOTHING.to_owned() } else { harmless(&cell.replace('\t', " ")).into_owned() }
}

/// Facts of one thing below its name. Facts without a value are left out.
pub(crate) fn page(name: &str, facts: &[(&str, Option<String>)]) -> String {
    let facts: Vec<(&str, &String)> =
        facts.iter().filter_map(|(fact, value)| Some((*fact, value.as_ref()?))).collect();
    let width = facts.iter().map(|(fact, _)| fact.chars().count()).max().unwrap_or(0);
    let mut text = format!("{}\n", harmless(name));
    for (fact, value) in facts {
        let _ = writeln!(text, "  {fact:<width$}  {}", cell_text(value));
    }
    text
}

/// `3 entries`, `1 entry`.
pub(crate) fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Names with commas between; a dash when there are none.
pub(crate) fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() { NOTHING.to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[[&str; 3]], expected: &str) {
        let rows: Vec<[String; 3]> = rows.iter().map(|row| row.map(str::to_owned)).collect();
        assert_eq!(table(["NAME", "V", "WHY"], &rows), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        check(
            &[["a", "1", "because"], ["größer", "12", ""]],
            "NAME    V   WHY\na       1   because\ngrößer  12  -\n",
        );
        check(&[], "NAME  V  WHY\n");
    }

    #[test]
    fn nothing_that_others_chose_makes_a_line_of_its_own() {
        check(&[["a\nb\tc", "\u{1b}[2J", ""]], "NAME      V        WHY\na\\x0ab c  \\x1b[2J  -\n");
        assert_eq!(page("x\r", &[("why", Some("a\nb".into())), ("none", None)]), "x\\x0d\n  why  a\\x0ab\n");
    }
}
