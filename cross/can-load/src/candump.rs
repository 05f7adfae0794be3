//! Frames of a candump log (`candump -L`), as the kernel takes them. Times and interfaces are not used.

use crate::socket::Frame;
use anyhow::{Context as _, Result, ensure};

/// Every frame of a log. Empty lines and those that begin with `#` are none.
pub(crate) fn frames(log: &str) -> Result<Vec<Frame>> {
    let lines = log.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let frames = lines.map(|(number, line)| {
        frame(line).with_context(|| format!("line {}: {line:?} is no frame", number + 1))
    });
    let frames = frames.collect::<Result<Vec<Frame>>>()?;
    ensure!(!frames.is_empty(), "it holds no frame");
    Ok(frames)
}

/// `(time) interface ID#DATA`, `ID##FLAGS DATA` for CAN FD and `ID#R` for a remote frame.
fn frame(line: &str) -> Result<Frame> {
    let (id, data) = line.split_whitespace().nth(2).and_then(|word| word.split_once('#')).context("no #")?;
    let number = u32::from_str_radix(id, 16).context("no identifier")?;
    let flags = if id.len() > 3 && number & libc::CAN_ERR_FLAG == 0 { libc::CAN_EFF_FLAG } else { 0 };
    let id = number | flags;
    if let Some(data) = data.strip_prefix('#') {
        let (brs, data) = data.split_at_checked(1).context("no flags")?;
        let flags = u8::from_str_radix(brs, 16).context("no flags")?;
        return Frame::fd(id, flags, &bytes(data)?);
    }
    if data.starts_with('R') {
        return Frame::classic(id | libc::CAN_RTR_FLAG, &[]);
    }
    Frame::classic(id, &bytes(data)?)
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2) && hex.is_ascii(), "half a byte");
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).context("no byte");
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_becomes_its_frame() {
        let log = "(1.0) can0 1A0#0102\n\n(1.0) can0 000001A0#\n(1.0) can0 123#R\n(1.0) can0 20000004#0000000000000000\n\
                   (1.0) can0 1A0##1000102030405060708090A0B R\n";
        let shown: Vec<(u32, usize, bool)> = frames(log).unwrap().iter().map(Frame::shown).collect();
        let (extended, remote) = (libc::CAN_EFF_FLAG, libc::CAN_RTR_FLAG);
        assert_eq!(
            shown,
            [
                (0x1A0, 2, false),
                (0x1A0 | extended, 0, false),
                (0x123 | remote, 0, false),
                (libc::CAN_ERR_FLAG | 4, 8, false),
                (0x1A0, 12, true),
            ]
        );
    }

    #[test]
    fn what_is_no_frame_is_refused_with_its_line() {
        for bad in [
            "",
            "x",
            "(1.0) can0 1A0",
            "(1.0) can0 1A0#0",
            "(1.0) can0 1A0#112233445566778899",
            "(1.0) can0 G#",
        ] {
            assert!(frames(bad).is_err(), "{bad}");
        }
        let error = format!("{:#}", frames("(1.0) can0 1#00\nno").map(|_| ()).unwrap_err());
        assert!(error.contains("line 2"), "{error}");
    }
}
