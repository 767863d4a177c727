//! Files in JSON: an object of names, each with a text or with an object that says more.
//!
//! The decoder's own messages quote what they do not understand, which may be a value: only their place is
//! told.

use super::{Item, Parsed};
use haus_model::{CredentialKind, Secret, ServiceName};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Values of a file.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut decoder = serde_json::Deserializer::from_str(text);
    let read = decoder.deserialize_map(File).and_then(|entries| decoder.end().map(|()| entries));
    let entries = match read {
        Ok(entries) => entries,
        Err(error) => {
            let place = format!("line {}", error.line());
            let why = format!("this is no JSON of the form that --help shows, at column {}", error.column());
            parsed.fault(&place, "", why);
            return parsed;
        }
    };
    for (at, (name, entry)) in entries.into_iter().enumerate() {
        let place = format!("entry {}", at + 1);
        // The API knows no others.
        let name = name.to_lowercase();
        match item(&place, &name, entry) {
            Ok(item) => parsed.items.push(item),
            Err(why) => parsed.fault(&place, &format!("/{name}"), why),
        }
    }
    parsed
}

fn item(place: &str, name: &str, entry: Entry) -> Result<Item, String> {
    let Entry { value, service, kind, scope, description, expires_at, strange } = entry;
    if let Some(strange) = strange {
        return Err(strange.to_owned());
    }
    let value = value.ok_or("it has no `value` that is a text")?;
    // Words that are no names may be values in the wrong place.
    let service_name = |text: &String| {
        text.parse::<ServiceName>().map_err(|_| "`service` or `scope` holds no name of a service".to_owned())
    };
    let kind = kind
        .map(|kind| kind.parse::<CredentialKind>().map_err(|_| "`type` is no kind of credential".to_owned()));
    Ok(Item {
        service: service.as_ref().map(service_name).transpose()?,
        kind: kind.transpose()?,
        scope: scope.iter().map(service_name).collect::<Result<_, _>>()?,
        description,
        expires_at,
        ..Item::new(place.to_owned(), name.to_owned(), value)
    })
}

/// All entries in their order, also those of one name.
struct File;

impl<'de> Visitor<'de> for File {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// What stands behind a name. What does not belong there is kept as a fault, so that the others are still
/// read.
#[derive(Default)]
struct Entry {
    value: Option<Secret>,
    service: Option<String>,
    kind: Option<String>,
    scope: Vec<String>,
    description: Option<String>,
    expires_at: Option<String>,
    strange: Option<&'static str>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Entry, D::Error> {
        decoder.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or an object")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry { value: Some(Secret::from(text.to_owned())), ..Entry::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::default();
        while let Some(key) = map.next_key::<String>()? {
            let Words(words) = map.next_value()?;
            entry.strange = entry.strange.or_else(|| entry.put(&key, words).err());
        }
        Ok(entry)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
        while list.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(strange())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Entry, E> {
        Ok(strange())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Entry, E> {
        Ok(strange())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Entry, E> {
        Ok(strange())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Entry, E> {
        Ok(strange())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Entry, E> {
        Ok(strange())
    }
}

fn strange() -> Entry {
    Entry { strange: Some("it is neither a text nor an object; put numbers in quotes"), ..Entry::default() }
}

impl Entry {
    fn put(&mut self, key: &str, words: Option<Vec<Secret>>) -> Result<(), &'static str> {
        let is_list = key == "scope";
        let words =
            words.ok_or("a member of it is of another form than --help shows; put numbers in quotes")?;
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose_bytes()).into_owned();
        let one = || match words.as_slice() {
            [one] => Ok(one),
            _ => Err("a member of it is a list and should be a text"),
        };
        match key {
            "value" => self.value = Some(one()?.clone()),
            "service" | "service_name" => self.service = Some(text(one()?)),
            "type" | "credential_type" => self.kind = Some(text(one()?)),
            "description" => self.description = Some(text(one()?)),
            "expires_at" => self.expires_at = Some(text(one()?)),
            _ if is_list => self.scope = words.iter().map(text).collect(),
            _ => {
                return Err(
                    "it has a member that is none of value, service, type, scope, description, expires_at",
                );
            }
        }
        Ok(())
    }
}

/// One text or a list of texts; none for anything else. A value may stand in the wrong member, so all are
/// secret.
struct Words(Option<Vec<Secret>>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Words, D::Error> {
        decoder.deserialize_any(WordsVisitor)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
        Ok(Words(Some(vec![Secret::from(text.to_owned())])))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
        let mut words = Some(Vec::new());
        while let Some(Words(inner)) = list.next_element()? {
            match (inner.as_deref(), &mut words) {
                (Some([one]), Some(words)) => words.push(one.clone()),
                _ => words = None,
            }
        }
        Ok(Words(words))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
        while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Words(None))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Words, E> {
        Ok(Words(None))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Words, E> {
        Ok(Words(None))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Words, E> {
        Ok(Words(None))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Words, E> {
        Ok(Words(None))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Words, E> {
        Ok(Words(None))
    }
}
