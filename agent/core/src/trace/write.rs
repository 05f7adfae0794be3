//! Frames back to text: candump's log, which every CAN tool reads.

use crate::frame::{CanFrame, FrameKind};
use std::fmt::{self, Write};
use telltale_wire::time::WallTime;

/// The longest line that is written, with its line ending: time, channel, identifier, 64 bytes.
pub const MAX_CANDUMP_LINE: usize = 192;

/// Linux `CAN_ERR_FLAG`.
const CAN_ERR_FLAG: u32 = 0x2000_0000;

/// Appends the frame as a line of `candump -l`, with its line ending. Reading it gives the same frame, at `wall`.
/// Times before 1970 are written as 1970; the channel is the caller's, without blanks.
///
/// # Errors
/// Those of `out`; a `String` has none.
pub fn write_candump_log(
    out: &mut impl Write,
    frame: &CanFrame,
    channel: &str,
    wall: WallTime,
) -> fmt::Result {
    let us = wall.as_unix_micros().max(0);
    write!(out, "({:010}.{:06}) {channel} ", us / 1_000_000, us % 1_000_000)?;
    match (frame.kind, frame.id) {
        (FrameKind::Error, id) => write!(out, "{:08X}#", id.raw() | CAN_ERR_FLAG)?,
        (FrameKind::Classic, id) => write!(out, "{id}#")?,
        (FrameKind::Fd, id) => write!(out, "{id}##0")?,
        (FrameKind::Remote, id) => write!(out, "{id}#R")?,
    }
    for byte in frame.payload() {
        write!(out, "{byte:02X}")?;
    }
    out.write_char('\n')
}
