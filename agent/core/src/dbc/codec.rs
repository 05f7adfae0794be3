//! Decodes and encodes whole messages by name, for tools, simulation and tests. The capture loop runs
//! [`super::Decoder`] instead.

use super::{Buffer, Message, Signal};
use crate::frame::CanFrame;

/// One decoded signal.
#[derive(Clone, Copy, Debug)]
pub struct SignalValue<'m> {
    /// Which.
    pub signal: &'m Signal,
    /// Its bits, right-aligned.
    pub raw: u64,
    /// Its physical value in the DBC's unit.
    pub value: f64,
}

impl<'m> SignalValue<'m> {
    /// The name of the value, where the file gives one.
    #[must_use]
    pub fn label(&self) -> Option<&'m str> {
        self.signal.label(self.raw)
    }
}

/// Why a payload was not decoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The payload ends before the signals do.
    #[error("{message} needs {needed} bytes for its signals, the payload has {len}")]
    TooShort {
        /// The message.
        message: String,
        /// Bytes that its present signals need.
        needed: usize,
        /// Bytes that there are.
        len: usize,
    },
    /// The payload is longer than a frame's.
    #[error("{message}: the payload has {len} bytes, a frame carries at most 64")]
    TooLong {
        /// The message.
        message: String,
        /// Bytes that there are.
        len: usize,
    },
}

/// Why values were not encoded.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum EncodeError {
    /// The message is longer than a frame.
    #[error("{message} has {len} bytes, a frame carries at most 64")]
    MessageTooLong {
        /// The message.
        message: String,
        /// Its length in bytes.
        len: usize,
    },
    /// The message has no such signal.
    #[error("{message} has no signal {signal}")]
    UnknownSignal {
        /// The message.
        message: String,
        /// The name that was given.
        signal: String,
    },
    /// The signal's bits lie behind the end of the message.
    #[error("signal {signal} of {message} runs over the message")]
    RunsOver {
        /// The message.
        message: String,
        /// The signal.
        signal: String,
    },
    /// The signal's bits cannot hold the value.
    #[error("{signal} of {message} cannot hold {value}: it holds {low} to {high}")]
    OutOfRange {
        /// The message.
        message: String,
        /// The signal.
        signal: String,
        /// The physical value that was given.
        value: f64,
        /// The smallest physical value that the bits hold.
        low: f64,
        /// The largest.
        high: f64,
    },
    /// The switch has a value that leaves the signal out, or two signals need two values of it.
    #[error("{signal} of {message} is not present while its switch {switch} is {value}")]
    NotSelected {
        /// The message.
        message: String,
        /// The multiplexed signal.
        signal: String,
        /// Its switch.
        switch: String,
        /// The raw value of the switch.
        value: u64,
    },
}

impl Message {
    /// Decodes the signals that are present: of multiplexed ones those that their switch selects. Signals that run
    /// over the message are left out. Bytes behind the message's length are ignored.
    ///
    /// # Errors
    /// [`DecodeError`] if the payload is too short for a signal that is present, or longer than a frame's.
    pub fn decode(&self, payload: &[u8]) -> Result<Vec<SignalValue<'_>>, DecodeError> {
        let mut buffer = [0; CanFrame::MAX_LEN];
        let Some(head) = buffer.get_mut(..payload.len()) else {
            return Err(DecodeError::TooLong { message: self.name.clone(), len: payload.len() });
        };
        head.copy_from_slice(payload);
        let mut values = Vec::with_capacity(self.signals.len());
        for signal in self.signals.iter().filter(|signal| self.holds(signal)) {
            if self.selected_in(signal, &buffer) {
                let needed = signal.layout.bytes_needed();
                if needed > payload.len() {
                    return Err(DecodeError::TooShort {
                        message: self.name.clone(),
                        needed,
                        len: payload.len(),
                    });
                }
                let raw = signal.layout.raw(&buffer);
                values.push(SignalValue { signal, raw, value: signal.physical(raw) });
            }
        }
        Ok(values)
    }

    /// Encodes physical values into a payload of the message's length; integers are rounded to the nearest raw
    /// value. Bits of signals that are not given stay zero. A switch that is not given takes the first value that
    /// selects the given signals.
    ///
    /// # Errors
    /// Every [`EncodeError`].
    pub fn encode(&self, values: &[(&str, f64)]) -> Result<Vec<u8>, EncodeError> {
        if self.len > CanFrame::MAX_LEN {
            return Err(EncodeError::MessageTooLong { message: self.name.clone(), len: self.len });
        }
        let mut raws: Vec<Option<u64>> = vec![None; self.signals.len()];
        let mut given = Vec::with_capacity(values.len());
        for (name, value) in values {
            let place = self.signals.iter().position(|signal| signal.name == *name).ok_or_else(|| {
                EncodeError::UnknownSignal { message: self.name.clone(), signal: (*name).to_owned() }
            })?;
            raws[place] = Some(self.raw_of(&self.signals[place], *value)?);
            given.push(place);
        }
        for place in given {
            self.set_switches(place, &mut raws)?;
        }
        let mut buffer = [0; CanFrame::MAX_LEN];
        for (signal, raw) in self.signals.iter().zip(raws) {
            if let Some(raw) = raw {
                signal.layout.set_raw(&mut buffer, raw);
            }
        }
        Ok(buffer.into_iter().take(self.len).collect())
    }

    fn raw_of(&self, signal: &Signal, value: f64) -> Result<u64, EncodeError> {
        if !self.holds(signal) {
            return Err(EncodeError::RunsOver { message: self.name.clone(), signal: signal.name.clone() });
        }
        let number = (value - signal.offset) / signal.factor;
        signal.layout.raw_of(number).ok_or_else(|| {
            let (low, high) = signal.layout.range();
            let (a, b) = (low * signal.factor + signal.offset, high * signal.factor + signal.offset);
            let (message, signal) = (self.name.clone(), signal.name.clone());
            EncodeError::OutOfRange { message, signal, value, low: a.min(b), high: a.max(b) }
        })
    }

    /// Sets the switches above a signal so that it is present.
    fn set_switches(&self, place: usize, raws: &mut [Option<u64>]) -> Result<(), EncodeError> {
        let mut at = place;
        // The file reader refuses circles, so this ends.
        while let Some(selection) = &self.signals[at].selection {
            let first = selection.ranges.first().map_or(0, |(low, _)| *low);
            let value = *raws[selection.switch].get_or_insert(first);
            let switch = &self.signals[selection.switch];
            if !selection.selects(value) || value > switch.layout.mask() {
                return Err(EncodeError::NotSelected {
                    message: self.name.clone(),
                    signal: self.signals[at].name.clone(),
                    switch: switch.name.clone(),
                    value,
                });
            }
            at = selection.switch;
        }
        Ok(())
    }

    fn selected_in(&self, signal: &Signal, buffer: &Buffer) -> bool {
        let mut at = signal;
        while let Some(selection) = &at.selection {
            let switch = &self.signals[selection.switch];
            if !selection.selects(switch.layout.raw(buffer)) {
                return false;
            }
            at = switch;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbc::Database;

    const TEXT: &str = "BO_ 1 A: 8 X\n SG_ S M : 0|8@1+ (1,0) [0|0] \"\" X\n \
        SG_ temp m3 : 15|16@0- (0.1,-40) [0|0] \"degC\" X\n SG_ volt m7 : 15|16@0+ (0.001,0) [0|5] \"V\" X\n \
        SG_ state : 24|2@1+ (1,0) [0|3] \"\" X\n SG_ over : 60|8@1+ (1,0) [0|3] \"\" X\nVAL_ 1 state 2 \"Ready\" ;\n";

    fn message() -> Message {
        Database::parse(TEXT, "t.dbc").0.messages.remove(0)
    }

    #[test]
    fn only_the_selected_signals_are_present() {
        let message = message();
        let values = message.decode(&[3, 0xFF, 0x9C, 2, 0, 0, 0, 0]).unwrap();
        let names: Vec<_> = values.iter().map(|v| (v.signal.name.as_str(), v.value)).collect();
        assert_eq!(names, [("S", 3.0), ("temp", -50.0), ("state", 2.0)]);
        assert_eq!(values[2].label(), Some("Ready"));
    }

    #[test]
    fn encode_is_the_inverse_and_sets_the_switch() {
        let message = message();
        let payload = message.encode(&[("volt", 4.2), ("state", 1.0)]).unwrap();
        assert_eq!(payload, [7, 0x10, 0x68, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn values_that_cannot_be_sent_are_refused() {
        let message = message();
        let refused = |values: &[(&str, f64)]| message.encode(values).unwrap_err().to_string();
        assert_eq!(refused(&[("state", 4.0)]), "state of A cannot hold 4: it holds 0 to 3");
        assert_eq!(refused(&[("stat", 4.0)]), "A has no signal stat");
        assert_eq!(refused(&[("over", 1.0)]), "signal over of A runs over the message");
        assert_eq!(refused(&[("volt", f64::NAN)]), "volt of A cannot hold NaN: it holds 0 to 65.535");
        assert!(refused(&[("S", 3.0), ("volt", 1.0)]).contains("not present while its switch S is 3"));
        assert!(refused(&[("temp", 3.0), ("volt", 1.0)]).contains("not present"));
    }

    #[test]
    fn a_payload_that_ends_early_is_not_decoded() {
        assert!(matches!(message().decode(&[3, 0xFF]), Err(DecodeError::TooShort { needed: 3, len: 2, .. })));
        assert!(matches!(message().decode(&[0; 65]), Err(DecodeError::TooLong { len: 65, .. })));
    }
}
