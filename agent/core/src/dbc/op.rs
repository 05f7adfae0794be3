//! How one signal is decoded: the short form for integers within one word, the general one for all others.

use super::Request;
use super::decoder::Span;
use super::layout::{Buffer, ByteOrder, Layout, RawKind};
use crate::frame::CanFrame;
use crate::signal::{NoData, SampleSink, SignalId};

/// An integer within one 64-bit load. One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Op {
    /// The bits, right-aligned.
    mask: u64,
    /// The sign's bit; zero if there is none. Flipping it puts raw values in the order of their numbers.
    sign: u64,
    /// The lowest number whose physical value is in range, in two's complement.
    low: u64,
    /// How many more there are. No sentinel is among them.
    span: u64,
    factor: f64,
    offset: f64,
    /// Raw values that mean "no value", in the decoder's table.
    pub(super) sentinels: Span,
    pub(super) signal: SignalId,
    pub(super) place: Place,
}

/// Where bits lie within one 64-bit load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The first byte of the load; zero for bits within the first eight.
    at: u8,
    shift: u8,
    pub(super) motorola: bool,
}

impl Place {
    /// The place of a signal, if one load holds it.
    pub(super) fn of(layout: Layout) -> Option<Place> {
        // The load stays within the buffer; signals at its end are shifted further.
        let at = if layout.bytes_needed() <= 8 { 0 } else { layout.first_byte().min(CanFrame::MAX_LEN - 8) };
        let skipped = (layout.first_byte() - at) as u32 * 8 + layout.first_bit();
        let behind = 64u32.checked_sub(skipped + layout.bits())?;
        let motorola = layout.order() == ByteOrder::Motorola;
        Some(Place { at: at as u8, shift: if motorola { behind } else { skipped } as u8, motorola })
    }

    /// The word that holds the bits, its bytes in their order.
    #[inline(always)]
    pub(super) fn load(self, buffer: &Buffer) -> u64 {
        let at = usize::from(self.at).min(CanFrame::MAX_LEN - 8);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&buffer[at..at + 8]);
        let word = u64::from_le_bytes(bytes);
        if self.motorola { word.swap_bytes() } else { word }
    }

    /// The bits, right-aligned, from the word that holds them.
    #[inline(always)]
    pub(super) fn raw(self, word: u64, mask: u64) -> u64 {
        (word >> (self.shift & 63)) & mask
    }
}

impl Op {
    /// The short form of a request, if it has one.
    pub(super) fn of(request: &Request<'_>, sentinels: &[u64], among: Span) -> Option<Op> {
        let signal = &request.message.signals[request.signal];
        let layout = signal.layout;
        let place = Place::of(layout)?;
        if layout.bits() == 64 || matches!(layout.kind(), RawKind::Float | RawKind::Double) {
            return None;
        }
        let sign = if layout.kind() == RawKind::Signed { 1 << (layout.bits() - 1) } else { 0 };
        let (factor, offset) = scale(request);
        let mut op = Op {
            mask: layout.mask(),
            sign,
            low: 0,
            span: 0,
            factor,
            offset,
            sentinels: among,
            signal: request.id,
            place,
        };
        let ordered: Vec<u64> = sentinels.iter().map(|raw| raw ^ sign).collect();
        let (low, span) = without_edges(op.ordered_range(request.min, request.max)?, &ordered)?;
        let in_range = |raw: &u64| raw.wrapping_sub(low) <= span;
        (op.low, op.span) = (low.wrapping_sub(sign), span);
        (!ordered.iter().any(in_range)).then_some(op)
    }

    /// The bits of the signal, from the word that holds them.
    #[inline(always)]
    pub(super) fn raw(&self, word: u64) -> u64 {
        self.place.raw(word, self.mask)
    }

    /// The physical value; `None` for a sentinel and for a value out of range.
    #[inline(always)]
    pub(super) fn value(&self, word: u64) -> Option<f64> {
        let number = self.number(self.raw(word) ^ self.sign);
        (number.wrapping_sub(self.low) <= self.span).then(|| self.physical(number))
    }

    /// The number that an ordered raw value means, in two's complement.
    #[inline(always)]
    fn number(&self, ordered: u64) -> u64 {
        ordered.wrapping_sub(self.sign)
    }

    #[inline(always)]
    fn physical(&self, number: u64) -> f64 {
        number as i64 as f64 * self.factor + self.offset
    }

    /// The ordered raw values whose physical values lie within the range: the first, and how many follow. Scaling
    /// is monotonic, rounding included, so that a search by halves is exact.
    fn ordered_range(&self, min: f64, max: f64) -> Option<(u64, u64)> {
        let (first, end) = if self.factor >= 0.0 {
            (self.first_where(|value| value >= min), self.first_where(|value| value > max))
        } else {
            (self.first_where(|value| value <= max), self.first_where(|value| value < min))
        };
        Some((first, end.checked_sub(first)?.checked_sub(1)?))
    }

    /// The first ordered raw value for which this holds; it must hold for all behind it. One more than the last if
    /// it never holds.
    fn first_where(&self, holds: impl Fn(f64) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.mask + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.physical(self.number(middle))) { high = middle } else { low = middle + 1 }
        }
        low
    }
}

/// What has no short form: a float, a signal that no word holds, a sentinel amid valid values, an empty range.
#[derive(Clone, Debug)]
pub(super) struct General {
    pub(super) layout: Layout,
    sentinels: Box<[u64]>,
    pub(super) factor: f64,
    pub(super) offset: f64,
    min: f64,
    max: f64,
    pub(super) signal: SignalId,
}

impl General {
    pub(super) fn of(request: &Request<'_>, sentinels: &[u64]) -> General {
        let (factor, offset) = scale(request);
        General {
            layout: request.message.signals[request.signal].layout,
            sentinels: sentinels.into(),
            factor,
            offset,
            min: request.min,
            max: request.max,
            signal: request.id,
        }
    }

    pub(super) fn deliver<S: SampleSink>(&self, buffer: &Buffer, sink: &mut S) {
        match self.read(buffer).1 {
            Ok(value) => sink.value(self.signal, value),
            Err(why) => sink.absent(self.signal, why),
        }
    }

    /// The bits, and their physical value or why there is none.
    pub(super) fn read(&self, buffer: &Buffer) -> (u64, Result<f64, NoData>) {
        let raw = self.layout.raw(buffer);
        let number = self.layout.number(raw);
        let value = number * self.factor + self.offset;
        let value = if self.sentinels.contains(&raw) || !number.is_finite() {
            Err(NoData::SensorFault)
        } else if value >= self.min && value <= self.max {
            Ok(value)
        } else {
            Err(NoData::OutOfRange)
        };
        (raw, value)
    }
}

/// The range, given by its first value and how many follow, without the sentinels at its ends. These are the usual
/// ones, such as all ones, and leave a range that one comparison tells.
fn without_edges((mut low, mut span): (u64, u64), sentinels: &[u64]) -> Option<(u64, u64)> {
    while sentinels.contains(&low) {
        (low, span) = (low + 1, span.checked_sub(1)?);
    }
    while sentinels.contains(&(low + span)) {
        span = span.checked_sub(1)?;
    }
    Some((low, span))
}

/// Factor and offset, with the sign that the catalog asks for.
fn scale(request: &Request<'_>) -> (f64, f64) {
    let signal = &request.message.signals[request.signal];
    if !request.inverted {
        return (signal.factor, signal.offset);
    }
    // Adding a negative zero would give zero a sign.
    (-signal.factor, if signal.offset == 0.0 { 0.0 } else { -signal.offset })
}

#[cfg(test)]
mod tests {
    use super::super::{Database, Decoder, Disposition};
    use super::*;
    use crate::frame::{BusId, FrameKind};
    use telltale_wire::time::MonoTime;

    #[derive(Default)]
    struct Seen(Vec<Result<f64, NoData>>);

    impl SampleSink for Seen {
        fn value(&mut self, _signal: SignalId, value: f64) {
            self.0.push(Ok(value));
        }
        fn absent(&mut self, _signal: SignalId, why: NoData) {
            self.0.push(Err(why));
        }
    }

    /// Whether the short form agrees with the general one for every raw value of a signal.
    fn compare(bits: &str, scale: &str, min: f64, max: f64, sentinels: &[i64], inverted: bool) {
        let text = format!("BS_:\nBO_ 1 A: 8 X\n SG_ s : {bits} {scale} [0|0] \"\" X\n");
        let (database, _) = Database::parse(&text, "t.dbc");
        let message = &database.messages[0];
        let request =
            Request { id: SignalId(0), bus: BusId(0), message, signal: 0, sentinels, min, max, inverted };
        let decoder = Decoder::compile([], &[request]);
        let layout = message.signals[0].layout;
        let masked: Vec<u64> = sentinels.iter().map(|value| *value as u64 & layout.mask()).collect();
        let general = General::of(&request, &masked);
        for raw in 0..=layout.mask() {
            let mut buffer = [0xA5; CanFrame::MAX_LEN];
            layout.set_raw(&mut buffer, raw);
            let frame =
                CanFrame::new(MonoTime(0), BusId(0), message.id, FrameKind::Classic, &buffer[..8]).unwrap();
            let (mut short, mut long) = (Seen::default(), Seen::default());
            assert_eq!(decoder.dispatch(&frame, &mut short), Disposition::Decoded(1));
            general.deliver(&buffer, &mut long);
            assert_eq!(short.0, long.0, "{bits} {scale} [{min}|{max}] {sentinels:?} {inverted}: {raw}");
        }
    }

    #[test]
    fn the_one_comparison_tells_what_all_of_them_tell() {
        for bits in ["13|9@1+", "13|9@1-", "13|9@0+", "13|9@0-", "0|1@1-"] {
            for scale in ["(1,0)", "(0.1,-7.3)", "(-0.3,5)", "(0,2)", "(1e-300,0)"] {
                for (min, max) in [(f64::MIN, f64::MAX), (-3.2, 12.7), (0.1, 0.3), (1.0, 1e9), (900.0, 901.0)]
                {
                    for sentinels in [&[][..], &[511], &[511, 510, 0], &[-1, 5], &[-256, 255, 254]] {
                        compare(bits, scale, min, max, sentinels, false);
                        compare(bits, scale, min, max, sentinels, true);
                    }
                }
            }
        }
    }
}
