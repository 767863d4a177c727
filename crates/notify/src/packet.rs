//! The five MQTT 5 packets (OASIS, MQTT Version 5.0) that one retained message needs, as bytes. Knows no
//! socket.

/// Largest packet that we take; announced to the broker.
pub(crate) const PACKET_BYTES_MAX: u32 = 16 * 1024;

/// What a broker answers to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) reason: u8,
    /// Highest quality of service; 2 when it does not say.
    pub(crate) qos_max: u8,
    pub(crate) retains: bool,
    /// Largest packet that it takes; no limit when it does not say.
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) words: Option<String>,
}

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// CONNACK (3.2).
    Welcome(Welcome),
    /// PUBACK (3.4).
    Taken { id: u16, reason: u8, words: Option<String> },
    /// DISCONNECT (3.14).
    Goodbye { reason: u8, words: Option<String> },
    /// Anything else, by its type.
    Other(u8),
}

/// Who connects.
pub(crate) struct Hello<'a> {
    /// At most 23 letters and digits are sure to be taken (3.1.3.1).
    pub(crate) client_id: &'a str,
    pub(crate) keep_alive_s: u16,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a [u8]>,
}

/// CONNECT (3.1) with a clean start; none when a field is longer than 65,535 bytes.
pub(crate) fn connect(hello: &Hello<'_>) -> Option<Vec<u8>> {
    let mut flags = 0b0000_0010;
    if hello.user.is_some() {
        flags |= 0b1000_0000;
    }
    if hello.password.is_some() {
        flags |= 0b0100_0000;
    }
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, flags];
    body.extend(hello.keep_alive_s.to_be_bytes());
    body.extend([5, property::PACKET_MAX]);
    body.extend(PACKET_BYTES_MAX.to_be_bytes());
    push_field(&mut body, hello.client_id.as_bytes())?;
    if let Some(user) = hello.user {
        push_field(&mut body, user.as_bytes())?;
    }
    if let Some(password) = hello.password {
        push_field(&mut body, password)?;
    }
    packet(0x10, &body)
}

/// A retained PUBLISH (3.3) with QoS 1, marked as JSON; none when it is longer than a packet can be.
pub(crate) fn publish(topic: &str, id: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 32);
    push_field(&mut body, topic.as_bytes())?;
    body.extend(id.to_be_bytes());
    let mut properties = vec![property::PAYLOAD_IS_TEXT, 1, property::CONTENT_TYPE];
    push_field(&mut properties, b"application/json")?;
    push_length(&mut body, properties.len())?;
    body.extend(properties);
    body.extend(payload);
    packet(0x33, &body)
}

/// DISCONNECT (3.14), normal.
pub(crate) const GOODBYE: [u8; 2] = [0xE0, 0];

fn packet(kind: u8, body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![kind];
    push_length(&mut bytes, body.len())?;
    bytes.extend(body);
    Some(bytes)
}

fn push_field(bytes: &mut Vec<u8>, field: &[u8]) -> Option<()> {
    bytes.extend(u16::try_from(field.len()).ok()?.to_be_bytes());
    bytes.extend(field);
    Some(())
}

/// A variable byte integer (1.5.5).
fn push_length(bytes: &mut Vec<u8>, length: usize) -> Option<()> {
    let mut rest = length;
    if rest > 268_435_455 {
        return None;
    }
    loop {
        let digit = u8::try_from(rest & 0x7F).expect("seven bits");
        rest >>= 7;
        if rest == 0 {
            bytes.push(digit);
            return Some(());
        }
        bytes.push(digit | 0x80);
    }
}

/// Whether a broker may begin a packet with this byte: types that it sends, with the flags that belong to
/// them (2.1.3).
pub(crate) fn may_begin(first: u8) -> bool {
    match first >> 4 {
        // PUBLISH, with flags of its own.
        3 => true,
        6 => first & 0x0F == 2,
        2 | 4 | 5 | 7 | 9 | 11 | 13 | 14 | 15 => first & 0x0F == 0,
        _ => false,
    }
}

/// Reads the packet of type and flags `first` with the given body; none when it is not MQTT 5.
pub(crate) fn read(first: u8, body: &[u8]) -> Option<Packet> {
    let mut reader = Reader(body);
    match first >> 4 {
        2 => {
            let _session_present = reader.byte()?;
            let reason = reader.byte()?;
            let mut welcome =
                Welcome { reason, qos_max: 2, retains: true, packet_bytes_max: None, words: None };
            // A broker that only knows MQTT 3.1.1 ends here.
            if !reader.0.is_empty() {
                for (id, value) in reader.properties()? {
                    match id {
                        property::QOS_MAX => welcome.qos_max = *value.first()?,
                        property::RETAINS => welcome.retains = *value.first()? != 0,
                        property::PACKET_MAX => {
                            welcome.packet_bytes_max = Some(u32::from_be_bytes(value.try_into().ok()?));
                        }
                        property::WORDS => welcome.words = Some(words(value)),
                        _ => {}
                    }
                }
            }
            Some(Packet::Welcome(welcome))
        }
        4 => {
            let id = u16::from_be_bytes(reader.take(2)?.try_into().ok()?);
            let (reason, words) = reader.reason_and_words()?;
            Some(Packet::Taken { id, reason, words })
        }
        14 => {
            let (reason, words) = reader.reason_and_words()?;
            Some(Packet::Goodbye { reason, words })
        }
        other => Some(Packet::Other(other)),
    }
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Identifiers of properties (2.2.2.2).
mod property {
    pub(super) const PAYLOAD_IS_TEXT: u8 = 0x01;
    pub(super) const CONTENT_TYPE: u8 = 0x03;
    pub(super) const WORDS: u8 = 0x1F;
    pub(super) const QOS_MAX: u8 = 0x24;
    pub(super) const RETAINS: u8 = 0x25;
    pub(super) const PACKET_MAX: u8 = 0x27;
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::from(length))
    }

    /// Reason and properties may both be left out, which means success (3.4.2.1).
    fn reason_and_words(&mut self) -> Option<(u8, Option<String>)> {
        if self.0.is_empty() {
            return Some((0, None));
        }
        let reason = self.byte()?;
        if self.0.is_empty() {
            return Some((reason, None));
        }
        let properties = self.properties()?;
        let found = properties.into_iter().find(|(id, _)| *id == property::WORDS);
        Some((reason, found.map(|(_, value)| words(value))))
    }

    /// Identifier and value; a pair of texts (user property) is given without its first one.
    fn properties(&mut self) -> Option<Vec<(u8, &'a [u8])>> {
        let length = self.length()?;
        let mut inner = Reader(self.take(length)?);
        let mut properties = Vec::new();
        while !inner.0.is_empty() {
            let id = inner.byte()?;
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => inner.take(1)?,
                0x13 | 0x21 | 0x22 | 0x23 => inner.take(2)?,
                0x02 | 0x11 | 0x18 | 0x27 => inner.take(4)?,
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => inner.field()?,
                0x26 => {
                    inner.field()?;
                    inner.field()?
                }
                0x0B => {
                    inner.length()?;
                    &[]
                }
                _ => return None,
            };
            properties.push((id, value));
        }
        Some(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(first: u8, body: &[u8], expected: Option<Packet>) {
        assert_eq!(read(first, body), expected, "{first:#x} {body:?}");
    }

    fn welcome(reason: u8) -> Welcome {
        Welcome { reason, qos_max: 2, retains: true, packet_bytes_max: None, words: None }
    }

    #[test]
    fn a_welcome_says_what_the_broker_cannot_do() {
        check(0x20, &[0, 0, 0], Some(Packet::Welcome(welcome(0))));
        check(0x20, &[0, 1], Some(Packet::Welcome(welcome(1))));
        let limited = Welcome {
            qos_max: 0,
            retains: false,
            packet_bytes_max: Some(256),
            words: Some(String::from("no")),
            ..welcome(0x97)
        };
        let body = [0, 0x97, 14, 0x24, 0, 0x25, 0, 0x27, 0, 0, 1, 0, 0x1F, 0, 2, b'n', b'o'];
        check(0x20, &body, Some(Packet::Welcome(limited)));
    }

    #[test]
    fn a_puback_may_be_short() {
        check(0x40, &[0, 1], Some(Packet::Taken { id: 1, reason: 0, words: None }));
        check(0x40, &[0, 1, 0x87], Some(Packet::Taken { id: 1, reason: 0x87, words: None }));
        check(0x40, &[0, 1, 0x10, 0], Some(Packet::Taken { id: 1, reason: 0x10, words: None }));
    }

    #[test]
    fn what_is_not_mqtt_is_refused() {
        check(0x20, &[], None);
        check(0x20, &[0, 0, 5, 1], None);
        check(0x20, &[0, 0, 2, 0x7E, 0], None);
        check(0x40, &[0], None);
        check(0xE0, &[], Some(Packet::Goodbye { reason: 0, words: None }));
        check(0x30, &[1, 2], Some(Packet::Other(3)));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_byte() {
        assert!(b"HSER+-*A2\x16\0".iter().all(|first| !may_begin(*first) || first >> 4 == 3));
        assert!([0x20, 0x40, 0xE0, 0x33].into_iter().all(may_begin));
    }

    #[test]
    fn packets_are_those_of_the_standard() {
        let hello = Hello { client_id: "haus", keep_alive_s: 60, user: Some("u"), password: Some(b"p") };
        let expected = b"\x10\x1c\0\x04MQTT\x05\xc2\0\x3c\x05\x27\0\0\x40\0\0\x04haus\0\x01u\0\x01p";
        assert_eq!(connect(&hello).as_deref(), Some(expected.as_slice()));
        let expected = b"\x33\x1f\0\x03a/b\0\x07\x15\x01\x01\x03\0\x10application/json{}";
        assert_eq!(publish("a/b", 7, b"{}").as_deref(), Some(expected.as_slice()));
        assert_eq!(publish(&"a".repeat(70_000), 7, b"{}"), None);
    }

    proptest! {
        #[test]
        fn a_length_reads_back(length in 0usize..268_435_456) {
            let mut bytes = Vec::new();
            push_length(&mut bytes, length).expect("in range");
            prop_assert_eq!(Reader(&bytes).length(), Some(length));
        }

        #[test]
        fn no_bytes_upset_the_reader(first: u8, body: Vec<u8>) {
            let _ = read(first, &body);
        }
    }
}
