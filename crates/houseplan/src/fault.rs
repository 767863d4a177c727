//! Faults while they are collected: cheap to make, turned into findings once at the end.
//!
//! Owns what a load shares between its passes: sources, faults, secret ranges, suggestions.

use crate::code::Code;
use crate::source::{Source, Sources, Span};
use crate::suggest::Suggest;
use haus_model::{Finding, Severity};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject<'t> {
    Plan,
    House,
    Gateway,
    Api,
    Alerts,
    Stage(&'t str),
    Service(&'t str),
    Credential(&'t str),
    Receiver(&'t str),
    Maintenance(&'t str),
    Host(&'t str),
    /// A host of the plan; `Host` is one of the routes.
    Machine(&'t str),
    Group(&'t str),
    Network(&'t str),
    Route(&'t str, &'t str),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Plan => f.write_str("plan"),
            Subject::House => f.write_str("house"),
            Subject::Gateway => f.write_str("gateway"),
            Subject::Api => f.write_str("api"),
            Subject::Alerts => f.write_str("alerts"),
            Subject::Stage(name) => write!(f, "stage {name}"),
            Subject::Service(name) => write!(f, "service {name}"),
            Subject::Credential(name) => write!(f, "credential {name}"),
            Subject::Receiver(name) => write!(f, "receiver {name}"),
            Subject::Maintenance(name) => write!(f, "maintenance {name}"),
            Subject::Host(host) => write!(f, "route {host}"),
            Subject::Machine(name) => write!(f, "host {name}"),
            Subject::Group(name) => write!(f, "group {name}"),
            Subject::Network(name) => write!(f, "network {name}"),
            Subject::Route(host, path) => write!(f, "route {host}{path}"),
        }
    }
}

/// One fault. Its severity comes from the table of codes alone.
pub(crate) struct Fault<'t> {
    pub(crate) code: Code,
    pub(crate) subject: Subject<'t>,
    message: Cow<'static, str>,
    span: Option<Span>,
    label: Cow<'static, str>,
    related: Vec<(Span, Cow<'static, str>)>,
    remedy: Cow<'static, str>,
    stage: Option<usize>,
    accepted: Option<&'t str>,
}

impl<'t> Fault<'t> {
    /// A fault with what it cannot do without.
    pub(crate) fn new(
        code: Code,
        subject: Subject<'t>,
        span: impl Into<Option<Span>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Fault<'t> {
        Fault {
            code,
            subject,
            message: message.into(),
            span: span.into(),
            label: Cow::Borrowed(""),
            related: Vec::new(),
            remedy: Cow::Borrowed(""),
            stage: None,
            accepted: None,
        }
    }

    /// Takes the reason for which the plan accepts this.
    pub(crate) fn accept(&mut self, reason: &'t str) {
        self.accepted = Some(reason);
    }

    /// The same fault at another place.
    #[must_use]
    pub(crate) fn at(mut self, span: Span) -> Fault<'t> {
        self.span = Some(span);
        self
    }

    /// The short text under the token.
    #[must_use]
    pub(crate) fn label(mut self, label: impl Into<Cow<'static, str>>) -> Fault<'t> {
        self.label = label.into();
        self
    }

    /// What to do; every fault has one.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Fault<'t> {
        self.remedy = remedy.into();
        self
    }

    /// Another place that belongs to it.
    #[must_use]
    pub(crate) fn related(mut self, span: Span, label: impl Into<Cow<'static, str>>) -> Fault<'t> {
        self.related.push((span, label.into()));
        self
    }
}

/// Everything that the passes of one load share.
pub(crate) struct Session<'t> {
    pub(crate) sources: &'t Sources,
    pub(crate) suggest: Suggest,
    faults: RefCell<Vec<Fault<'t>>>,
    secrets: RefCell<Vec<Span>>,
    stage: Cell<Option<usize>>,
}

impl<'t> Session<'t> {
    pub(crate) fn new(sources: &'t Sources) -> Session<'t> {
        Session {
            sources,
            suggest: Suggest::new(),
            faults: RefCell::new(Vec::new()),
            secrets: RefCell::new(Vec::new()),
            stage: Cell::new(None),
        }
    }

    /// Faults reported from here on belong to this stage, or to all of them.
    pub(crate) fn enter_stage(&self, stage: Option<usize>) {
        self.stage.set(stage);
    }

    /// Keeps a fault, with the stage that is being checked.
    pub(crate) fn report(&self, mut fault: Fault<'t>) {
        fault.stage = self.stage.get();
        self.faults.borrow_mut().push(fault);
    }

    /// Marks a range that no excerpt may show.
    pub(crate) fn hide(&self, span: Span) {
        self.secrets.borrow_mut().push(span);
    }

    /// Ends the collecting: faults, and the secret ranges by file.
    pub(crate) fn into_parts(self) -> (Vec<Fault<'t>>, Vec<Span>) {
        (self.faults.into_inner(), self.secrets.into_inner())
    }
}

/// Turns faults into findings: one per fault however many stages show it, sorted by file and line.
pub(crate) fn into_findings(faults: Vec<Fault<'_>>, sources: &Sources, stages: &[&str]) -> Vec<Finding> {
    let mut ordered: Vec<(Fault<'_>, Vec<usize>)> = Vec::with_capacity(faults.len());
    let mut seen: BTreeMap<(Code, Option<Span>, String), usize> = BTreeMap::new();
    for fault in faults {
        let Some(stage) = fault.stage else {
            ordered.push((fault, Vec::new()));
            continue;
        };
        let key = (fault.code, fault.span, fault.message.to_string());
        match seen.get(&key) {
            Some(&at) => ordered[at].1.push(stage),
            None => {
                seen.insert(key, ordered.len());
                ordered.push((fault, vec![stage]));
            }
        }
    }
    // Files keep the order in which they were read: the plan first, then what it includes.
    ordered.sort_by_key(|(fault, _)| (fault.span.map(|span| (span.file, span.start)), fault.code));
    ordered.dedup_by(|later, first| {
        let (later, first) = (&later.0, &first.0);
        later.stage.is_none()
            && first.stage.is_none()
            && later.span.is_some()
            && (later.code, later.span, &later.message) == (first.code, first.span, &first.message)
    });
    ordered.into_iter().map(|(fault, shown_in)| into_finding(fault, &shown_in, sources, stages)).collect()
}

/// The slow part, text and places, once for each fault that is left.
fn into_finding(fault: Fault<'_>, shown_in: &[usize], sources: &Sources, stages: &[&str]) -> Finding {
    let everywhere = shown_in.is_empty() || shown_in.len() == stages.len();
    Finding {
        code: fault.code.info().code.to_owned(),
        severity: if fault.accepted.is_some() { Severity::Note } else { fault.code.severity() },
        subject: fault.subject.to_string(),
        message: fault.message.into_owned(),
        place: fault.span.map(|span| sources.place(span)),
        label: fault.label.into_owned(),
        related: fault
            .related
            .into_iter()
            .map(|(span, label)| (sources.place(span), label.into_owned()))
            .collect(),
        remedy: fault.remedy.into_owned(),
        accepted: fault.accepted.map(str::to_owned),
        stages: if everywhere {
            Vec::new()
        } else {
            shown_in.iter().map(|&stage| stages[stage].to_owned()).collect()
        },
    }
}

/// Hands the secret ranges to the sources that hold them.
pub(crate) fn mark_secrets(sources: &mut [Source], secrets: &[Span]) {
    for span in secrets {
        if let Some(source) = sources.get_mut(span.file as usize) {
            source.secrets.push(span.range());
        }
    }
    // Sorted, so that an excerpt finds its own without looking at all of them.
    for source in sources {
        source.secrets.sort_by_key(|range| (range.end, range.start));
    }
}
