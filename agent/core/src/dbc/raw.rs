//! Reads the raw integers of catalog signals out of a frame, beside [`super::Decoder`] and in agreement with it: for
//! snapshots, which keep what stood on the bus. It is not made for the capture loop.

use super::decoder::Request;
use super::layout::{Buffer, Layout, RawKind};
use super::op::General;
use crate::frame::{BusId, CanFrame, CanId};
use crate::signal::{NoData, SignalId};
use std::collections::BTreeMap;

/// One catalog signal of a message.
#[derive(Clone, Debug)]
pub struct RawSignal {
    general: General,
    /// Its switch, that one's switch, and so on, each with the raw values that select what is below.
    switches: Vec<(Layout, Vec<(u64, u64)>)>,
}

impl RawSignal {
    fn of(request: &Request<'_>) -> RawSignal {
        let signals = &request.message.signals;
        let mask = signals[request.signal].layout.mask();
        let sentinels: Vec<u64> = request.sentinels.iter().map(|value| *value as u64 & mask).collect();
        let mut switches = Vec::new();
        let mut at = request.signal;
        // The file reader refuses circles, so this ends.
        while let Some(selection) = &signals[at].selection {
            switches.push((signals[selection.switch].layout, selection.ranges.clone()));
            at = selection.switch;
        }
        RawSignal { general: General::of(request, &sentinels), switches }
    }

    /// Which signal of the catalog.
    #[must_use]
    pub const fn id(&self) -> SignalId {
        self.general.signal
    }

    /// What its bits mean, and how many there are.
    #[must_use]
    pub const fn kind(&self) -> (RawKind, u32) {
        (self.general.layout.kind(), self.general.layout.bits())
    }

    /// Physical value = number x factor + offset, in the catalog's sign.
    #[must_use]
    pub const fn scale(&self) -> (f64, f64) {
        (self.general.factor, self.general.offset)
    }

    /// Its bits, and their physical value or why there is none; `None` if its switches leave it out.
    #[must_use]
    pub fn read(&self, frame: &CanFrame) -> Option<(u64, Result<f64, NoData>)> {
        let buffer: &Buffer = frame.buffer();
        let selects = |(layout, ranges): &(Layout, Vec<(u64, u64)>)| {
            let value = layout.raw(buffer);
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&value))
        };
        self.switches.iter().all(selects).then(|| self.general.read(buffer))
    }
}

/// The catalog signals of one identifier.
#[derive(Clone, Debug)]
pub struct RawMessage {
    /// Its bus.
    pub bus: BusId,
    /// Its identifier.
    pub id: CanId,
    /// Its signals in the order of the catalog.
    pub signals: Vec<RawSignal>,
}

/// Compiles the requests, by message; the messages stand in the order of their first signals. Requests of signals
/// that their message does not hold are left out, as [`super::Decoder::compile`] does.
#[must_use]
pub fn raw_messages(requests: &[Request<'_>]) -> Vec<RawMessage> {
    let mut by_id: BTreeMap<(BusId, CanId), Vec<RawSignal>> = BTreeMap::new();
    for request in requests {
        if request.message.signals.get(request.signal).is_some_and(|signal| request.message.holds(signal)) {
            by_id.entry((request.bus, request.message.id)).or_default().push(RawSignal::of(request));
        }
    }
    let message = |((bus, id), mut signals): ((BusId, CanId), Vec<RawSignal>)| {
        signals.sort_by_key(RawSignal::id);
        RawMessage { bus, id, signals }
    };
    let mut messages: Vec<RawMessage> = by_id.into_iter().map(message).collect();
    messages.sort_by_key(|message| message.signals.first().map(RawSignal::id));
    messages
}

#[cfg(test)]
mod tests {
    use super::super::{Database, Decoder, Disposition};
    use super::*;
    use crate::frame::FrameKind;
    use crate::signal::SampleSink;
    use telltale_wire::time::MonoTime;

    type Seen = Vec<(SignalId, Result<u64, NoData>)>;

    #[derive(Default)]
    struct Samples(Seen);

    impl SampleSink for Samples {
        fn value(&mut self, signal: SignalId, value: f64) {
            self.0.push((signal, Ok(value.to_bits())));
        }
        fn absent(&mut self, signal: SignalId, why: NoData) {
            self.0.push((signal, Err(why)));
        }
    }

    /// Every kind of layout, simple and extended multiplexing, two files on one identifier.
    const FILES: [&str; 2] = [
        "BO_ 1 A: 8 X\n SG_ S M : 0|3@1+ (1,0) [0|0] \"\" X\n SG_ T m1M : 3|2@1+ (1,0) [0|0] \"\" X\n \
         SG_ u m1 : 8|12@1- (0.1,-7) [0|0] \"\" X\n SG_ v m2 : 15|16@0+ (0.5,0) [0|0] \"\" X\n \
         SG_ f m3 : 8|32@1- (1,0) [0|0] \"\" X\n SG_ w : 47|9@0- (-2,1) [0|0] \"\" X\nSIG_VALTYPE_ 1 f : 1;\n\
         SG_MUL_VAL_ 1 T S 1-2;\nSG_MUL_VAL_ 1 u T 1-2;\nSG_MUL_VAL_ 1 v S 2-5;\nSG_MUL_VAL_ 1 f S 3-3;\n",
        "BO_ 1 B: 8 X\n SG_ again : 56|8@1+ (1,0) [0|0] \"\" X\nBO_ 2 C: 8 X\n SG_ wide : 0|64@1- (1,0) [0|0] \"\" X\n",
    ];

    #[test]
    fn it_reads_what_the_decoder_delivers() {
        let databases = FILES.map(|text| Database::parse(text, "t.dbc").0);
        let signals = databases
            .iter()
            .flat_map(|d| &d.messages)
            .flat_map(|message| (0..message.signals.len()).map(move |signal| (message, signal)));
        let requests: Vec<Request<'_>> = signals
            .enumerate()
            .map(|(n, (message, signal))| Request {
                id: SignalId(n as u16),
                bus: BusId(0),
                message,
                signal,
                sentinels: [&[][..], &[1], &[-1, 7]][n % 3],
                min: -300.0,
                max: 9_000.0,
                inverted: n % 2 == 0,
            })
            .collect();
        assert_eq!(requests.len(), 8);
        let (decoder, messages) = (Decoder::compile([], &requests), raw_messages(&requests));
        let (mut state, mut delivered) = (3u64, 0);
        for n in 0..20_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut payload = (state ^ state >> 30).to_le_bytes();
            payload[0] = payload[0] & !7 | (n % 6) as u8;
            let id = CanId::Standard(1 + (n % 2) as u16);
            let frame = CanFrame::new(MonoTime(0), BusId(0), id, FrameKind::Classic, &payload).unwrap();
            let mut expected = Samples::default();
            assert!(matches!(decoder.dispatch(&frame, &mut expected), Disposition::Decoded(_)));
            expected.0.sort_by_key(|(signal, _)| *signal);
            let message = messages.iter().find(|message| message.id == id).unwrap();
            let read: Seen = message
                .signals
                .iter()
                .filter_map(|s| Some((s.id(), s.read(&frame)?.1.map(f64::to_bits))))
                .collect();
            assert_eq!(read, expected.0, "{frame:?}");
            delivered += read.len();
        }
        assert!(delivered > 40_000, "{delivered}");
    }

    #[test]
    fn its_scale_gives_the_physical_value_from_the_bits() {
        let (database, _) = Database::parse(FILES[0], "t.dbc");
        let message = &database.messages[0];
        let request = Request {
            id: SignalId(0),
            bus: BusId(0),
            message,
            signal: 5,
            sentinels: &[],
            min: f64::MIN,
            max: f64::MAX,
            inverted: true,
        };
        let messages = raw_messages(&[request]);
        let signal = &messages[0].signals[0];
        let frame = CanFrame::new(
            MonoTime(0),
            BusId(0),
            message.id,
            FrameKind::Classic,
            &[0, 0, 0, 0, 0, 1, 0x80, 0],
        );
        let (raw, value) = signal.read(&frame.unwrap()).unwrap();
        assert_eq!((signal.kind(), raw), ((RawKind::Signed, 9), 3));
        let (factor, offset) = signal.scale();
        assert_eq!(value, Ok(3.0 * factor + offset));
        assert_eq!(value, Ok(5.0));
    }
}
