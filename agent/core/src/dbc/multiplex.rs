//! Which value of which switch makes a signal present: simple multiplexing (`M`, `m3`) and extended (`SG_MUL_VAL_`).

use super::{Findings, Message, Selection};
use can_dbc::MultiplexIndicator;

/// The deepest nesting of switches.
const MAX_DEPTH: usize = 8;

/// What the file says about one signal's multiplexing.
#[derive(Default)]
pub(super) struct Marker {
    /// `m<value>`
    value: Option<u64>,
    /// `SG_MUL_VAL_`: the switch's name and its values.
    extended: Option<(String, Vec<(u64, u64)>)>,
}

impl Marker {
    pub(super) fn of(indicator: MultiplexIndicator) -> Self {
        let value = match indicator {
            MultiplexIndicator::MultiplexedSignal(value)
            | MultiplexIndicator::MultiplexorAndMultiplexedSignal(value) => Some(value),
            MultiplexIndicator::Multiplexor | MultiplexIndicator::Plain => None,
        };
        Self { value, extended: None }
    }

    /// Takes the values of a `SG_MUL_VAL_`; several for one signal add up.
    pub(super) fn selected_by(&mut self, switch: &str, ranges: &[(u64, u64)]) {
        match &mut self.extended {
            Some((name, list)) if name == switch => list.extend_from_slice(ranges),
            slot => *slot = Some((switch.to_owned(), ranges.to_vec())),
        }
    }
}

/// Gives each multiplexed signal its switch. Signals whose switch cannot be told are taken out: to decode them
/// from every frame would invent values.
pub(super) fn resolve(message: &mut Message, markers: Vec<Marker>, findings: &mut Findings) {
    mark_named_switches(message, &markers, findings);
    let switches: Vec<usize> = (0..message.signals.len()).filter(|i| message.signals[*i].is_switch).collect();
    let mut lost = vec![false; message.signals.len()];
    for (place, marker) in markers.into_iter().enumerate() {
        match selection_of(place, marker, message, &switches) {
            Ok(selection) => message.signals[place].selection = selection,
            Err(why) => {
                let signal = &message.signals[place];
                findings.error(
                    signal.line,
                    &message.name,
                    format!("signal {} is not used: {why}", signal.name),
                );
                lost[place] = true;
            }
        }
    }
    for place in 0..lost.len() {
        if !lost[place] && !reaches_root(place, message, &lost) {
            let signal = &message.signals[place];
            let text = format!(
                "signal {} is not used: its switches are missing, in a circle or too deep",
                signal.name
            );
            findings.error(signal.line, &message.name, text);
            lost[place] = true;
        }
    }
    take_out(message, &lost);
}

/// A signal that `SG_MUL_VAL_` names as a switch is one, whether or not an `M` says so.
fn mark_named_switches(message: &mut Message, markers: &[Marker], findings: &mut Findings) {
    for (name, _) in markers.iter().filter_map(|marker| marker.extended.as_ref()) {
        let Some(switch) =
            message.signals.iter_mut().find(|signal| signal.name == *name && !signal.is_switch)
        else {
            continue;
        };
        switch.is_switch = true;
        let text = format!("SG_MUL_VAL_ names {name} as a switch, which no `M` marks");
        findings.warn(switch.line, &message.name, text);
    }
}

fn selection_of(
    place: usize,
    marker: Marker,
    message: &Message,
    switches: &[usize],
) -> Result<Option<Selection>, String> {
    let (switch, ranges) = match (marker.extended, marker.value, switches) {
        (Some((name, ranges)), ..) => {
            let switch = message.signals.iter().position(|signal| signal.name == name);
            (switch.ok_or_else(|| format!("the message has no switch {name}"))?, ranges)
        }
        (None, None, _) => return Ok(None),
        (None, Some(value), [switch]) => (*switch, vec![(value, value)]),
        (None, Some(_), []) => return Err("no signal of the message is the switch (`M`)".into()),
        (None, Some(_), _) => {
            return Err("the message has several switches and no SG_MUL_VAL_ tells which".into());
        }
    };
    if switch == place {
        return Err("it would select itself".into());
    }
    if !message.holds(&message.signals[switch]) {
        return Err(format!("its switch {} runs over the message", message.signals[switch].name));
    }
    Ok(Some(Selection { switch, ranges: merged(ranges) }))
}

/// Ascending and without overlap.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some((_, end)) if low <= end.saturating_add(1) => *end = high.max(*end),
            _ => merged.push((low, high)),
        }
    }
    merged
}

fn reaches_root(place: usize, message: &Message, lost: &[bool]) -> bool {
    let mut at = place;
    for _ in 0..=MAX_DEPTH {
        match &message.signals[at].selection {
            None => return true,
            Some(selection) if lost[selection.switch] => return false,
            Some(selection) => at = selection.switch,
        }
    }
    false
}

fn take_out(message: &mut Message, lost: &[bool]) {
    let mut kept = 0;
    let new_place: Vec<usize> = lost
        .iter()
        .map(|lost| {
            let place = kept;
            kept += usize::from(!lost);
            place
        })
        .collect();
    let mut place = 0;
    message.signals.retain_mut(|signal| {
        if let Some(selection) = &mut signal.selection {
            selection.switch = new_place[selection.switch];
        }
        place += 1;
        !lost[place - 1]
    });
}

#[cfg(test)]
mod tests {
    use crate::dbc::Database;

    fn parse(body: &str) -> (Database, String) {
        let (database, findings) = Database::parse(body, "t.dbc");
        (database, findings.iter().map(|f| format!("{f}\n")).collect())
    }

    const EXTENDED: &str = "BS_:\nBO_ 1 A: 8 X\n SG_ S M : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ T m1M : 8|8@1+ (1,0) [0|0] \"\" X\n \
        SG_ u m2 : 16|8@1+ (1,0) [0|0] \"\" X\nSG_MUL_VAL_ 1 T S 1-1, 2-3;\nSG_MUL_VAL_ 1 u T 2-2, 9-12;\n";

    #[test]
    fn extended_selections_name_their_switch_and_join_ranges() {
        let (database, findings) = parse(EXTENDED);
        assert_eq!(findings, "");
        let signals = &database.messages[0].signals;
        assert_eq!(signals[1].selection.as_ref().unwrap().ranges, [(1, 3)]);
        assert_eq!(signals[2].selection.as_ref().unwrap().switch, 1);
        assert!(signals[2].selection.as_ref().unwrap().selects(12));
        assert!(!signals[2].selection.as_ref().unwrap().selects(8));
    }

    #[test]
    fn a_switch_without_its_mark_is_one_by_its_name() {
        let (database, findings) = parse(&EXTENDED.replace("SG_ S M", "SG_ S m"));
        assert!(database.messages[0].signals[0].is_switch);
        assert_eq!(database.messages[0].signals.len(), 3);
        assert!(findings.contains("t.dbc:3: warning: A: SG_MUL_VAL_ names S"), "{findings}");
    }

    #[test]
    fn a_signal_without_a_telling_switch_is_taken_out() {
        let (database, findings) = parse(
            "BO_ 1 A: 8 X\n SG_ u m2 : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ v : 8|8@1+ (1,0) [0|0] \"\" X\n",
        );
        assert_eq!(database.messages[0].signals.len(), 1);
        assert!(findings.contains("t.dbc:2: error: A: signal u is not used"), "{findings}");
    }

    #[test]
    fn switches_in_a_circle_are_taken_out() {
        let circle = EXTENDED.replace("SG_MUL_VAL_ 1 T S", "SG_MUL_VAL_ 1 S T 1-1;\nSG_MUL_VAL_ 1 T S");
        let (database, findings) = parse(&circle);
        assert!(database.messages[0].signals.is_empty());
        assert!(findings.contains("in a circle"), "{findings}");
    }
}
