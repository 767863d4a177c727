//! Findings for people: excerpt, underlined token, remedy.
//!
//! Knows no terminal; whoever prints decides on colour and width. Never shows a secret.

use crate::excerpt::{Excerpt, Mark, excerpts};
use crate::source::Source;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use haus_model::{Finding, Place, Severity};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Notes of one code that are shown in full; of further ones only the number.
const NOTES_SHOWN: usize = 20;

/// How findings are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to use terminal colours.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Style { color: false, width: 120 }
    }
}

/// Draws findings, one after the other, each followed by an empty line.
pub fn render(findings: &[Finding], sources: &[Source], style: Style) -> String {
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(style.width.max(40)).decor_style(DecorStyle::Ascii);
    let by_path: BTreeMap<&Path, &Source> =
        sources.iter().map(|source| (source.path.as_path(), source)).collect();
    let mut text = String::new();
    let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in findings {
        if finding.severity == Severity::Note {
            let seen = notes.entry(&finding.code).or_default();
            *seen += 1;
            if *seen > NOTES_SHOWN {
                continue;
            }
        }
        text.push_str(&renderer.render(&[group(finding, &by_path)]));
        text.push_str("\n\n");
    }
    for (code, seen) in notes.into_iter().filter(|(_, seen)| *seen > NOTES_SHOWN) {
        let further = seen - NOTES_SHOWN;
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "note[{code}]: {further} further ones are not shown; `--format json` lists all\n");
    }
    text
}

/// One finding as what the renderer draws.
fn group<'a>(finding: &'a Finding, sources: &BTreeMap<&Path, &'a Source>) -> Group<'a> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = format!("{}: {}", finding.subject, finding.message);
    let mut group = Group::with_title(level.primary_title(title).id(finding.code.as_str()));
    if let Some(place) = &finding.place {
        group = group.elements(places(finding, place, sources));
    }
    if let Some(reason) = &finding.accepted {
        group = group.element(Level::NOTE.message(format!("accepted: {reason}")));
    }
    if !finding.stages.is_empty() {
        group = group.element(Level::NOTE.message(format!("only in stage {}", finding.stages.join(", "))));
    }
    if !finding.remedy.is_empty() && finding.accepted.is_none() {
        group = group.element(Level::HELP.message(finding.remedy.as_str()));
    }
    group
}

/// Excerpts of every file that a finding points to, the place of the finding itself first.
fn places<'a>(
    finding: &'a Finding,
    place: &'a Place,
    sources: &BTreeMap<&Path, &'a Source>,
) -> Vec<Element<'a>> {
    let own = Mark { place, label: &finding.label, primary: true };
    let related = finding.related.iter().map(|(place, label)| Mark { place, label, primary: false });
    let mut by_file: Vec<(&'a Path, Vec<Mark<'a>>)> = Vec::new();
    for mark in std::iter::once(own).chain(related) {
        let path = mark.place.file.as_path();
        match by_file.iter_mut().find(|(known, _)| *known == path) {
            Some((_, marks)) => marks.push(mark),
            None => by_file.push((path, vec![mark])),
        }
    }
    let mut elements = Vec::new();
    for (path, marks) in by_file {
        let excerpts = sources.get(path).map(|source| excerpts(source, &marks)).unwrap_or_default();
        if excerpts.is_empty() {
            // Nothing can be shown of it, so only the place is named.
            let first = marks[0].place;
            let origin = Origin::path(path.display().to_string());
            elements.push(Element::from(origin.line(first.line as usize).char_column(first.column as usize)));
        }
        elements.extend(excerpts.into_iter().map(|excerpt| Element::from(snippet(path, excerpt))));
    }
    elements
}

/// Lines with their marks, as the renderer wants them.
fn snippet<'a>(path: &Path, excerpt: Excerpt<'a>) -> Snippet<'a, Annotation<'a>> {
    let marks = excerpt.marks.into_iter().map(|(mark, range)| {
        let kind = if mark.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
        kind.span(range).label(mark.label)
    });
    Snippet::source(excerpt.text)
        .line_start(excerpt.first_line as usize)
        .path(path.display().to_string())
        .annotations(marks)
}
