//! The messages that the catalog's signals stand in: how often they come, and what protects them (`[[message]]`).

use super::file::{Lines, MessageEntry, ModeName, Place, ProfileName};
use super::names::did_you_mean;
use super::{Bus, CatalogMessage, CatalogSignal};
use crate::dbc::{ByteOrder, Findings, Layout, Message, RawKind};
use crate::e2e::{Algo, Counter, DataIdMode, MAX_TAIL, Protection, Scheme};
use crate::frame::BusId;
use std::time::Duration;

/// The longest time between two messages, in milliseconds.
const MAX_CYCLE_MS: u64 = 24 * 60 * 60 * 1_000;

/// One entry for each message that a signal stands in, in the order of the signals.
pub(super) fn of_signals(buses: &[Bus], signals: &[CatalogSignal]) -> Vec<CatalogMessage> {
    let mut messages: Vec<CatalogMessage> = Vec::new();
    for signal in signals {
        let known = messages.iter_mut().rev().find(|m| (m.bus, m.id) == (signal.bus, signal.id));
        if let Some(message) = known {
            message.stale_after = message.stale_after.max(signal.stale_after);
            continue;
        }
        let described = buses[usize::from(signal.bus.0)].databases.get(signal.source.database);
        let described = described.and_then(|database| database.messages.get(signal.source.message));
        messages.push(CatalogMessage {
            bus: signal.bus,
            id: signal.id,
            name: signal.message.clone(),
            len: described.map_or(0, |message| message.len),
            cycle: described.and_then(|message| message.cycle),
            stale_after: signal.stale_after,
            protection: None,
        });
    }
    messages
}

/// Adds what the `[[message]]` entries say.
pub(super) fn apply(
    entries: &[(u32, MessageEntry)],
    buses: &[Bus],
    messages: &mut [CatalogMessage],
    lines: &Lines,
    findings: &mut Findings,
) {
    for (line, entry) in entries {
        let subject = match (&entry.message, entry.id) {
            (Some(name), _) => name.get_ref().clone(),
            (None, Some(id)) => format!("0x{id:X}"),
            (None, None) => "[[message]]".to_owned(),
        };
        if let Err((line, why)) = apply_one(*line, entry, buses, messages, lines) {
            findings.error(line, &subject, why);
        }
    }
}

type Problem = (u32, String);

fn apply_one(
    line: u32,
    entry: &MessageEntry,
    buses: &[Bus],
    messages: &mut [CatalogMessage],
    lines: &Lines,
) -> Result<(), Problem> {
    let at = |why: &str| (line, why.to_owned());
    let bus = match &entry.bus {
        Some(name) => {
            let place = buses.iter().position(|bus| bus.name == *name.get_ref()).ok_or_else(|| {
                let hint = did_you_mean(name.get_ref(), buses.iter().map(|bus| bus.name.as_str()));
                (lines.at(&name.span()), format!("there is no bus {}{hint}", name.get_ref()))
            })?;
            BusId(place as u8)
        }
        None if buses.len() > 1 => return Err(at("several buses: say which with `bus`")),
        None => BusId(0),
    };
    let of_bus = messages.iter_mut().filter(|message| message.bus == bus);
    let mut found: Vec<&mut CatalogMessage> = match (&entry.message, entry.id) {
        (Some(name), None) => of_bus.filter(|message| message.name == *name.get_ref()).collect(),
        (None, Some(id)) => of_bus.filter(|message| message.id.raw() == id).collect(),
        _ => return Err(at("name it, either by `message` (its name in the DBC file) or by `id`")),
    };
    let message = match found.as_mut_slice() {
        [message] => message,
        [] => {
            return Err(at(
                "no signal of the catalog stands in it, so that it is not heard: add one, or leave this out",
            ));
        }
        _ => return Err(at("a standard and an extended message have this number: name it by `message`")),
    };
    if message.protection.is_some() {
        return Err(at("this message already has an entry above"));
    }
    if let Some(ms) = entry.cycle_ms {
        if ms == 0 || ms > MAX_CYCLE_MS {
            return Err((line, format!("`cycle_ms` must be 1 to {MAX_CYCLE_MS}")));
        }
        message.cycle = Some(Duration::from_millis(ms));
    }
    let databases = &buses[usize::from(bus.0)].databases;
    let described = databases.iter().find_map(|database| database.message_by_id(message.id));
    let protection = protection(entry, described).map_err(|why| (line, why))?;
    if let Some(protection) = &protection
        && protection.bytes_needed() > message.len
    {
        let needed = protection.bytes_needed();
        return Err((
            line,
            format!("counter and checksum need {needed} bytes, the message has {}", message.len),
        ));
    }
    message.protection = protection;
    Ok(())
}

fn protection(entry: &MessageEntry, described: Option<&Message>) -> Result<Option<Protection>, String> {
    let max_jump = entry.max_jump.unwrap_or(1);
    if max_jump == 0 {
        return Err("`max_jump` is how far the counter may move, at least 1".into());
    }
    let Some(profile) = entry.profile else { return plain(entry, described, max_jump) };
    if entry.counter.is_some() || entry.checksum.is_some() || entry.modulo.is_some() || entry.tail.is_some() {
        return Err(
            "a profile says where counter and checksum stand: leave `counter`, `checksum`, `modulo` and \
                    `tail` out"
                .into(),
        );
    }
    let offset = entry.offset.unwrap_or(0);
    let id = || entry.data_id.ok_or("the profile needs a `data_id`");
    let made = match profile {
        ProfileName::Autosar1 => {
            let mode = match entry.data_id_mode.unwrap_or_default() {
                ModeName::Both => DataIdMode::Both,
                ModeName::Alternating => DataIdMode::Alternating,
                ModeName::Low => DataIdMode::Low,
                ModeName::Nibble => DataIdMode::Nibble,
            };
            Protection::profile1(offset, id()?, mode, max_jump)
        }
        ProfileName::Autosar2 => {
            let ids = entry.data_ids.ok_or("the profile needs `data_ids`, sixteen of them")?;
            Protection::profile2(ids, max_jump)
        }
        ProfileName::Autosar5 => Protection::profile5(offset, id()?, max_jump),
    };
    made.map(Some).ok_or_else(|| "`offset` leads out of the longest payload".to_owned())
}

/// Counter and checksum as the entry spells them out; `None` if it has neither.
fn plain(
    entry: &MessageEntry,
    described: Option<&Message>,
    max_jump: u64,
) -> Result<Option<Protection>, String> {
    if entry.data_id.is_some() || entry.data_ids.is_some() || entry.offset.is_some() {
        return Err("`data_id`, `data_ids` and `offset` belong to a `profile`".into());
    }
    let counter = entry.counter.as_ref().map(|place| place_of(place, described)).transpose()?;
    let counter = match counter {
        Some(place) => {
            let values = place.mask().saturating_add(1);
            let modulo = entry.modulo.unwrap_or(values);
            if modulo < 2 || modulo > values || place.bits() > 32 {
                return Err(format!("a counter of {} bits cannot count modulo {modulo}", place.bits()));
            }
            Some(Counter { place, modulo, max_jump })
        }
        None if entry.modulo.is_some() || entry.max_jump.is_some() => {
            return Err("`modulo` and `max_jump` need a `counter`".into());
        }
        None => None,
    };
    let checksum = match &entry.checksum {
        Some(checksum) => {
            let (_, algo) =
                Algo::ALL.into_iter().find(|(name, _)| *name == checksum.algorithm).ok_or_else(|| {
                    let hint = did_you_mean(&checksum.algorithm, Algo::ALL.iter().map(|(name, _)| *name));
                    format!("the checksum \"{}\" is not known{hint}", checksum.algorithm)
                })?;
            let place = place_of(&checksum.at, described)?;
            let whole_bytes = algo.bits() < 8 || place.first_bit() == 0;
            if place.bits() != algo.bits() || !whole_bytes {
                let bytes = if algo.bits() < 8 { "" } else { ", in whole bytes" };
                return Err(format!("{} has {} bits{bytes}", checksum.algorithm, algo.bits()));
            }
            let tail = entry.tail.clone().unwrap_or_default();
            if tail.len() > MAX_TAIL {
                return Err(format!("`tail` has at most {MAX_TAIL} bytes"));
            }
            Some(Scheme::Plain { algo, place, tail })
        }
        None if entry.tail.is_some() => return Err("`tail` needs a `checksum`".into()),
        None => None,
    };
    let any = counter.is_some() || checksum.is_some();
    Ok(any.then_some(Protection { counter, checksum }))
}

/// A signal of the message by name, or bits as a DBC file writes them: `56|8@1`.
fn place_of(place: &Place, described: Option<&Message>) -> Result<Layout, String> {
    let signals = described.map(|message| message.signals.as_slice()).unwrap_or_default();
    if let Some(signal) = signals.iter().find(|signal| signal.name == place.0) {
        return Ok(signal.layout);
    }
    bits_of(&place.0).ok_or_else(|| {
        let hint = did_you_mean(&place.0, signals.iter().map(|signal| signal.name.as_str()));
        format!("\"{}\" is neither a signal of the message nor bits as in \"56|8@1\"{hint}", place.0)
    })
}

fn bits_of(text: &str) -> Option<Layout> {
    let (start, rest) = text.split_once('|')?;
    let (bits, order) = rest.split_once('@')?;
    let order = match order {
        "1" => ByteOrder::Intel,
        "0" => ByteOrder::Motorola,
        _ => return None,
    };
    Layout::new(start.parse().ok()?, bits.parse().ok()?, order, RawKind::Unsigned)
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;
    use crate::e2e::{Algo, Scheme};
    use std::time::Duration;

    const DBC: &str = "BS_:\nBO_ 339 Brakes: 8 ESP\n SG_ Speed : 0|16@1+ (1,0) [0|0] \"\" X\n \
        SG_ Alive : 52|4@1+ (1,0) [0|0] \"\" X\n SG_ Sum : 56|8@1+ (1,0) [0|0] \"\" X\n\
        BO_ 340 Idle: 8 ESP\n SG_ Other : 0|16@1+ (1,0) [0|0] \"\" X\n\
        BA_ \"GenMsgCycleTime\" BO_ 339 20;\nBA_ \"GenMsgCycleTime\" BO_ 340 0;\n";

    fn catalog(message: &str) -> Result<Catalog, String> {
        let text = format!(
            "schema = 1\n[[bus]]\nname = \"b\"\ndbc = [\"b.dbc\"]\n[[signal]]\nvss = \"A.Speed\"\nsignal = \"Speed\"\n\
             stale_ms = 500\n[[signal]]\nvss = \"A.Alive\"\nsignal = \"Alive\"\nstale_ms = 700\n{message}"
        );
        Catalog::parse(&text, "c", &mut |_| Ok(DBC.into())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_message_has_its_cycle_from_the_dbc_and_its_protection_from_the_catalog() {
        let plain = catalog("").unwrap();
        let [message] = &plain.messages[..] else { panic!("{:?}", plain.messages) };
        assert_eq!((message.name.as_str(), message.len), ("Brakes", 8));
        assert_eq!(message.cycle, Some(Duration::from_millis(20)));
        assert_eq!((message.stale_after, message.protection.is_some()), (Duration::from_millis(700), false));

        let entry = "[[message]]\nmessage = \"Brakes\"\ncounter = \"Alive\"\ncycle_ms = 10\n\
            checksum = { algorithm = \"sum\", at = \"56|8@1\" }\n";
        let protected = catalog(entry).unwrap();
        let protection = protected.messages[0].protection.as_ref().unwrap();
        assert_eq!(protection.counter.unwrap().modulo, 16);
        assert!(matches!(protection.checksum, Some(Scheme::Plain { algo: Algo::Sum, .. })));
        assert_eq!(protected.messages[0].cycle, Some(Duration::from_millis(10)));

        for profile in [
            "profile = \"autosar-1\"\ndata_id = 0x123\ndata_id_mode = \"nibble\"\nmax_jump = 3",
            "profile = \"autosar-2\"\ndata_ids = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]",
            "profile = \"autosar-5\"\ndata_id = 0x1234\noffset = 2",
        ] {
            let protected = catalog(&format!("[[message]]\nid = 0x153\n{profile}\n")).unwrap();
            assert!(protected.messages[0].protection.is_some(), "{profile}");
        }
    }

    #[test]
    fn entries_that_cannot_hold_are_refused_with_the_way_out() {
        for (entry, expected) in [
            ("counter = \"Alive\"", "name it, either by `message`"),
            ("message = \"Idle\"", "c:13: error: Idle: no signal of the catalog stands in it"),
            ("id = 0x153\nbus = \"c\"", "there is no bus c"),
            ("id = 0x153\ncycle_ms = 0", "`cycle_ms` must be"),
            ("id = 0x153\nprofile = \"autosar-1\"", "the profile needs a `data_id`"),
            ("id = 0x153\nprofile = \"autosar-2\"", "sixteen"),
            (
                "id = 0x153\nprofile = \"autosar-5\"\ndata_id = 1\noffset = 6",
                "need 9 bytes, the message has 8",
            ),
            ("id = 0x153\nprofile = \"autosar-5\"\ndata_id = 1\ncounter = \"Alive\"", "a profile says where"),
            ("id = 0x153\ndata_id = 1", "belong to a `profile`"),
            ("id = 0x153\ncounter = \"Alife\"", "did you mean Alive?"),
            ("id = 0x153\ncounter = \"52|4@1\"\nmodulo = 17", "cannot count modulo 17"),
            ("id = 0x153\nmax_jump = 2", "need a `counter`"),
            ("id = 0x153\nmax_jump = 0", "at least 1"),
            ("id = 0x153\nchecksum = { algorithm = \"summ\", at = \"Sum\" }", "did you mean sum?"),
            ("id = 0x153\nchecksum = { algorithm = \"sum\", at = \"52|8@1\" }", "in whole bytes"),
            ("id = 0x153\nchecksum = { algorithm = \"crc16-ccitt\", at = \"Sum\" }", "has 16 bits"),
            ("id = 0x153\ntail = [1]", "`tail` needs a `checksum`"),
            ("id = 0x153\ncheksum = 1", "unknown field `cheksum`"),
        ] {
            let refused = catalog(&format!("[[message]]\n{entry}\n")).unwrap_err();
            assert!(refused.contains(expected), "{entry}: {refused}");
        }
    }
}
