//! Lines of a byte stream, in a buffer of fixed size: no line can make it grow.

use std::io::{self, ErrorKind, Read};
use telltale_core::trace::{MAX_LINE, line_end};

/// The buffer. A refill moves at most one line's beginning, so a large one costs little per byte.
const BUFFER: usize = 256 * 1024;

/// What stands where a line is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'b> {
    /// A line without its ending.
    Text(&'b [u8]),
    /// A line of more than [`MAX_LINE`] bytes; it was thrown away while it was read.
    TooLong,
    /// The reader was interrupted before a line was whole; ask again.
    Interrupted,
    /// The end of the stream.
    End,
}

pub(super) struct Lines<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Where the search for the line ending goes on, so that no byte is searched twice.
    searched: usize,
    at_end: bool,
    /// The line being read is already too long.
    discarding: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { reader, buffer, start: 0, end: 0, searched: 0, at_end: false, discarding: false }
    }

    /// What has been read and not yet given as lines.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads more, without taking a line; `false` at the end of the stream or of the buffer.
    pub(super) fn read_ahead(&mut self) -> io::Result<bool> {
        if self.at_end || self.end == self.buffer.len() {
            return Ok(false);
        }
        match self.reader.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.at_end = true,
            Ok(n) => self.end += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(!self.at_end)
    }

    pub(super) fn next(&mut self) -> io::Result<Line<'_>> {
        loop {
            if let Some(length) = line_end(&self.buffer[self.searched..self.end]) {
                let (from, to) = (self.start, self.searched + length);
                (self.start, self.searched) = (to + 1, to + 1);
                return Ok(self.whole(from, to));
            }
            self.searched = self.end;
            if self.at_end {
                let (from, to) = (self.start, self.end);
                self.start = to;
                return Ok(if from == to && !self.discarding { Line::End } else { self.whole(from, to) });
            }
            if self.end - self.start > MAX_LINE {
                self.discarding = true;
                self.start = self.end;
            }
            if !self.refill()? {
                return Ok(Line::Interrupted);
            }
        }
    }

    fn whole(&mut self, from: usize, to: usize) -> Line<'_> {
        if std::mem::take(&mut self.discarding) || to - from > MAX_LINE {
            return Line::TooLong;
        }
        Line::Text(&self.buffer[from..to])
    }

    /// Makes room and reads once; `false` if the read was interrupted.
    fn refill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.searched -= self.start;
        self.start = 0;
        match self.reader.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.at_end = true,
            Ok(n) => self.end += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(false),
            Err(e) => return Err(e),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most so many bytes at once.
    struct Trickle<'d>(&'d [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn lines(data: &[u8], step: usize) -> Vec<String> {
        let mut lines = Lines::new(Trickle(data, step));
        let mut seen = Vec::new();
        loop {
            match lines.next().unwrap() {
                Line::Text(text) => seen.push(String::from_utf8(text.to_vec()).unwrap()),
                Line::TooLong => seen.push("<too long>".into()),
                Line::Interrupted => {}
                Line::End => return seen,
            }
        }
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        for step in [1, 2, 3, 7, usize::MAX] {
            assert_eq!(lines(b"a\n\nbcd\r\nlast", step), ["a", "", "bcd\r", "last"], "{step}");
            assert_eq!(lines(b"a\n", step), ["a"], "{step}");
            assert_eq!(lines(b"", step), [""; 0], "{step}");
        }
    }

    #[test]
    fn endless_lines_are_thrown_away_within_the_buffer() {
        let mut data = b"first\n".to_vec();
        data.extend(vec![b'x'; 3 * BUFFER]);
        data.extend(b"\nsecond\n");
        data.extend(vec![b'y'; MAX_LINE]);
        data.extend(b"\n");
        data.extend(vec![b'z'; MAX_LINE + 1]);
        for step in [1000, usize::MAX] {
            let seen = lines(&data, step);
            assert_eq!(
                [&seen[0], &seen[1], &seen[2], &seen[4]],
                ["first", "<too long>", "second", "<too long>"]
            );
            assert_eq!((seen[3].len(), seen.len()), (MAX_LINE, 5));
        }
    }
}
