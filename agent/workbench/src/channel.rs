//! The name that a log gives its bus.

use std::fmt;
use std::str::FromStr;

/// A CAN interface's name as Linux takes it: 1 to 15 printable characters without blank or slash (`IFNAMSIZ`). A
/// candump line splits at blanks, so nothing else may reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel(String);

/// Text that is no channel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no CAN interface: write 1 to 15 letters and digits, as in `vcan0`")]
pub struct ChannelError(String);

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(text: &str) -> Result<Channel, ChannelError> {
        let fits = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if fits { Ok(Channel(text.into())) } else { Err(ChannelError(text.escape_default().to_string())) }
    }
}

impl Channel {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Channel;

    #[test]
    fn only_names_that_a_log_line_can_carry() {
        assert_eq!("vcan0".parse::<Channel>().unwrap().as_str(), "vcan0");
        for refused in ["", "can 0", "can0\n", "can/0", "sixteen_letters_", "Bus\u{e9}"] {
            assert!(refused.parse::<Channel>().is_err(), "{refused:?}");
        }
    }
}
