//! What a message says, in English and German. Knows neither receivers nor roads.

use haus_model::house::House;
use haus_model::unit::format_duration;
use haus_notify::{Message, State};
use haus_watch::alert::{self, Subject, Tell, TellState};
use std::time::Duration;

/// A service runs its last good definition instead of the one in the plan.
pub(crate) const SERVICE_REDEPLOYED: &str = "service-redeployed";

/// A credential is to be given a new value by a person.
pub(crate) const ROTATION_DUE: &str = "rotation-due";

/// Somebody with a good token makes the audit trail grow without end.
pub(crate) const TRAIL_FLOOD: &str = "trail-flood";

/// What happened and what to do, in both languages.
struct Words {
    en: &'static str,
    de: &'static str,
    do_en: &'static str,
    do_de: &'static str,
}

/// The words of a kind; others are told by their own name.
fn words(kind: &str) -> Option<Words> {
    let (en, de, do_en, do_de) = of_service(kind).or_else(|| of_credential_or_house(kind))?;
    Some(Words { en, de, do_en, do_de })
}

type FourTexts = (&'static str, &'static str, &'static str, &'static str);

fn of_service(kind: &str) -> Option<FourTexts> {
    Some(match kind {
        alert::SERVICE_LACKING => (
            "waits for something that it lacks",
            "wartet auf etwas, das ihm fehlt",
            "Supply what is named above; it starts by itself then.",
            "Das oben Genannte liefern; danach startet er von selbst.",
        ),
        alert::SERVICE_DEGRADED => {
            ("works only in part", "arbeitet nur zum Teil", "See `haus status`.", "Siehe `haus status`.")
        }
        alert::SERVICE_OFFLINE => {
            ("does not answer", "antwortet nicht", "See `haus logs SUBJECT`.", "Siehe `haus logs SUBJECT`.")
        }
        alert::SERVICE_GAVE_UP => (
            "is not started any more",
            "wird nicht mehr gestartet",
            "See `haus logs SUBJECT`, mend it, then `haus restart SUBJECT`.",
            "Siehe `haus logs SUBJECT`, Ursache beheben, dann `haus restart SUBJECT`.",
        ),
        SERVICE_REDEPLOYED => (
            "runs its last good definition",
            "läuft mit seiner letzten guten Definition",
            "Mend the service in the plan, then `haus reload`.",
            "Den Dienst im Plan berichtigen, dann `haus reload`.",
        ),
        TRAIL_FLOOD => (
            "fills the audit trail",
            "füllt das Prüfprotokoll",
            "Let it keep values for their `ttl_s` or ask with `If-None-Match`; `haus token revoke` ends it.",
            "Werte für ihr `ttl_s` behalten oder mit `If-None-Match` fragen; `haus token revoke` beendet es.",
        ),
        _ => return None,
    })
}

fn of_credential_or_house(kind: &str) -> Option<FourTexts> {
    Some(match kind {
        alert::CREDENTIAL_EXPIRING => (
            "expires soon",
            "läuft bald ab",
            "Rotate it: `haus credential rotate NAME`.",
            "Erneuern: `haus credential rotate NAME`.",
        ),
        alert::CREDENTIAL_EXPIRED => (
            "has expired; nobody gets it any more",
            "ist abgelaufen; niemand bekommt es mehr",
            "Rotate it: `haus credential rotate NAME`.",
            "Erneuern: `haus credential rotate NAME`.",
        ),
        ROTATION_DUE => (
            "needs a new value that only a person can give",
            "braucht einen neuen Wert, den nur ein Mensch geben kann",
            "Give it one: `haus credential rotate NAME`.",
            "Wert geben: `haus credential rotate NAME`.",
        ),
        alert::ROTATION_FAILED => (
            "could not be rotated; the old value is valid",
            "konnte nicht erneuert werden; der alte Wert gilt",
            "Mend the reason, then `haus credential rotate NAME`.",
            "Ursache beheben, dann `haus credential rotate NAME`.",
        ),
        alert::ROTATION_STUCK => (
            "is stuck in its rotation",
            "steckt mitten in der Erneuerung fest",
            "Mend the reason, then `haus credential rotate NAME` goes on where it stands.",
            "Ursache beheben, dann macht `haus credential rotate NAME` dort weiter.",
        ),
        alert::STORE_UNWRITABLE => (
            "its database cannot be written",
            "ihre Datenbank lässt sich nicht schreiben",
            "Nothing secret is handed out until that is mended: see space and health of the disk.",
            "Bis dahin wird nichts Geheimes herausgegeben: Platz und Zustand der Platte prüfen.",
        ),
        alert::TRAIL_BROKEN => (
            "its audit trail was changed",
            "ihr Prüfprotokoll wurde verändert",
            "See `haus trail verify`, and keep a copy of the state folder.",
            "Siehe `haus trail verify`; vorher eine Kopie des Zustandsordners sichern.",
        ),
        alert::DISK_LOW => (
            "its disk is nearly full",
            "ihre Platte ist fast voll",
            "Free space below the state folder.",
            "Platz unterhalb des Zustandsordners schaffen.",
        ),
        _ => return None,
    })
}

/// The message that tells it.
pub(super) fn message(house: &House, tell: &Tell) -> Message {
    let (name_en, name_de) = names(house, &tell.subject);
    let words = words(&tell.kind);
    let (what_en, what_de) = match &words {
        Some(words) => (words.en.to_owned(), words.de.to_owned()),
        None => (format!("has the fault {}", tell.kind), format!("hat den Fehler {}", tell.kind)),
    };
    let lasted = format_duration(Duration::from_secs(tell.at.since(tell.since).as_secs()));
    let over = tell.state == TellState::Resolved;
    let (title_en, title_de) = match tell.state {
        TellState::Firing => (format!("{name_en}: {what_en}"), format!("{name_de}: {what_de}")),
        TellState::Repeat => {
            (format!("{name_en}: still {what_en}"), format!("{name_de}: weiterhin, {what_de}"))
        }
        TellState::Resolved => {
            (format!("{name_en}: over ({what_en})"), format!("{name_de}: vorbei ({what_de})"))
        }
    };
    let mut english = vec![tell.why.clone()];
    let mut german = vec![tell.why.clone()];
    if over {
        english.push(format!("It lasted {lasted}."));
        german.push(format!("Es dauerte {lasted}."));
    } else {
        english.push(format!("Since {}.", tell.since));
        german.push(format!("Seit {}.", tell.since));
        if let Some(words) = &words {
            english.push(fill(words.do_en, house, &tell.subject));
            german.push(fill(words.do_de, house, &tell.subject));
        }
    }
    if tell.flaps > 0 {
        english.push(format!("It came back {} times meanwhile.", tell.flaps));
        german.push(format!("Es kam inzwischen {}-mal wieder.", tell.flaps));
    }
    if tell.follow_ups_count > 0 {
        let names: Vec<&str> = tell.follow_ups.iter().map(haus_model::ServiceName::as_str).collect();
        let more = tell.follow_ups_count - tell.follow_ups.len();
        let (more_en, more_de) = if more == 0 {
            (String::new(), String::new())
        } else {
            (format!(" and {more} more"), format!(" und {more} weitere"))
        };
        let (fail_en, fail_de) =
            if tell.follow_ups_count == 1 { ("fails", "fällt") } else { ("fail", "fallen") };
        english.push(format!("{}{more_en} {fail_en} because of it.", names.join(", ")));
        german.push(format!("{}{more_de} {fail_de} deshalb aus.", names.join(", ")));
    }
    Message {
        id: tell.id.clone(),
        house: house.name.to_string(),
        level: tell.level,
        kind: tell.kind.clone(),
        subject: tell.subject.to_string(),
        state: if over { State::Resolved } else { State::Firing },
        since: tell.since,
        at: tell.at,
        title_en,
        title_de,
        text_en: english.join("\n"),
        text_de: german.join("\n"),
        url: None,
    }
}

fn names(house: &House, subject: &Subject) -> (String, String) {
    match subject {
        Subject::House => (format!("house {}", house.name), format!("Haus {}", house.name)),
        Subject::Service(name) => (name.to_string(), name.to_string()),
        Subject::Credential(name) => (format!("credential {name}"), format!("Zugang {name}")),
    }
}

fn fill(text: &str, house: &House, subject: &Subject) -> String {
    let name = match subject {
        Subject::House => "house".to_owned(),
        Subject::Service(name) => name.to_string(),
        Subject::Credential(name) => name.to_string(),
    };
    let is_external = |name| house.services.get(name).is_some_and(|one| one.runs_as.is_elsewhere());
    // What runs somewhere else has no log here.
    let text = match subject {
        Subject::Service(name) if is_external(name) => text.replace("haus logs", "haus events"),
        Subject::House | Subject::Service(_) | Subject::Credential(_) => text.to_owned(),
    };
    text.replace("SUBJECT", &name).replace("NAME", &name)
}

/// One line for the log of the house.
pub(super) fn line(tell: &Tell) -> String {
    let told = if tell.receivers.is_empty() {
        "nobody is told".to_owned()
    } else {
        format!("told: {}", tell.receivers.join(", "))
    };
    let id = if tell.id.is_empty() { tell.subject.to_string() } else { tell.id.clone() };
    format!("{} {} {id}: {} ({told})", tell.state.as_str(), tell.level, one_line(&tell.why))
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use haus_model::Timestamp;
    use haus_model::alert::AlertLevel;
    use haus_model::service::RunsAs;

    fn tell(subject: &str, kind: &str, state: TellState) -> Tell {
        Tell {
            id: format!("{subject}/{kind}#7"),
            state,
            subject: subject.parse().unwrap(),
            kind: kind.to_owned(),
            level: AlertLevel::Critical,
            services: Vec::new(),
            since: Timestamp(0),
            at: Timestamp(61_000),
            flaps: 0,
            why: "connection refused".to_owned(),
            follow_ups: Vec::new(),
            follow_ups_count: 0,
            receivers: vec!["phone".to_owned()],
        }
    }

    #[track_caller]
    fn check(tell: &Tell, title_en: &str, title_de: &str, last_en: &str) {
        let message = message(&fixture::house(Vec::new()), tell);
        assert_eq!((message.title_en.as_str(), message.title_de.as_str()), (title_en, title_de));
        assert_eq!(message.text_en.lines().last(), Some(last_en));
    }

    #[test]
    fn a_message_says_what_happened_and_what_to_do() {
        check(
            &tell("web", alert::SERVICE_OFFLINE, TellState::Firing),
            "web: does not answer",
            "web: antwortet nicht",
            "See `haus logs web`.",
        );
        check(
            &tell("credential:key", alert::CREDENTIAL_EXPIRED, TellState::Repeat),
            "credential key: still has expired; nobody gets it any more",
            "Zugang key: weiterhin, ist abgelaufen; niemand bekommt es mehr",
            "Rotate it: `haus credential rotate key`.",
        );
        check(
            &tell("@house", alert::DISK_LOW, TellState::Resolved),
            "house test: over (its disk is nearly full)",
            "Haus test: vorbei (ihre Platte ist fast voll)",
            "It lasted 61s.",
        );
    }

    #[test]
    fn a_kind_without_words_of_its_own_is_told_by_its_name() {
        check(
            &tell("web", "queue-long", TellState::Firing),
            "web: has the fault queue-long",
            "web: hat den Fehler queue-long",
            "Since 1970-01-01T00:00:00.000Z.",
        );
    }

    #[test]
    fn what_runs_somewhere_else_has_events_and_no_log() {
        let mut service = fixture::service("scanner", 1);
        service.runs_as = RunsAs::External;
        let tell = tell("scanner", alert::SERVICE_OFFLINE, TellState::Firing);
        let message = message(&fixture::house(vec![service]), &tell);
        assert!(message.text_en.ends_with("See `haus events scanner`."), "{}", message.text_en);
        assert!(message.text_de.ends_with("Siehe `haus events scanner`."), "{}", message.text_de);
    }

    #[test]
    fn one_follow_up_fails_and_several_fail() {
        let one = Tell {
            follow_ups: vec!["api".parse().unwrap()],
            follow_ups_count: 1,
            ..tell("db", alert::SERVICE_OFFLINE, TellState::Firing)
        };
        let message = message(&fixture::house(Vec::new()), &one);
        assert!(message.text_en.ends_with("api fails because of it."), "{}", message.text_en);
        assert!(message.text_de.ends_with("api fällt deshalb aus."), "{}", message.text_de);
    }

    #[test]
    fn follow_ups_and_flaps_are_named() {
        let follow_ups = vec!["api".parse().unwrap(), "web".parse().unwrap()];
        let tell = Tell {
            flaps: 3,
            follow_ups,
            follow_ups_count: 5,
            ..tell("db", alert::SERVICE_OFFLINE, TellState::Firing)
        };
        let message = message(&fixture::house(Vec::new()), &tell);
        assert!(message.text_en.contains("It came back 3 times meanwhile."), "{}", message.text_en);
        assert!(
            message.text_de.contains("api, web und 3 weitere fallen deshalb aus."),
            "{}",
            message.text_de
        );
    }

    #[test]
    fn the_line_of_the_log_stays_one_line() {
        let tell = Tell { why: "a\nb".to_owned(), ..tell("web", alert::SERVICE_OFFLINE, TellState::Firing) };
        assert_eq!(line(&tell), "firing critical web/service-offline#7: a b (told: phone)");
    }

    #[test]
    fn every_kind_that_the_house_raises_has_words() {
        let kinds = [
            alert::SERVICE_LACKING,
            alert::SERVICE_DEGRADED,
            alert::SERVICE_OFFLINE,
            alert::SERVICE_GAVE_UP,
            SERVICE_REDEPLOYED,
            TRAIL_FLOOD,
            alert::CREDENTIAL_EXPIRING,
            alert::CREDENTIAL_EXPIRED,
            ROTATION_DUE,
            alert::ROTATION_FAILED,
            alert::ROTATION_STUCK,
            alert::STORE_UNWRITABLE,
            alert::TRAIL_BROKEN,
            alert::DISK_LOW,
        ];
        assert!(kinds.into_iter().all(|kind| words(kind).is_some()));
    }
}
