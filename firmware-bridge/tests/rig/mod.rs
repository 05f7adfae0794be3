//! A CAN frame and a line for the tests.

use embedded_can::{Frame, Id, StandardId};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use telltale_wire::bridge::{LinkMessage, LinkReader};

#[derive(Clone)]
pub(crate) struct TestFrame {
    id: Id,
    remote: bool,
    data: Vec<u8>,
}

impl Frame for TestFrame {
    fn new(id: impl Into<Id>, data: &[u8]) -> Option<Self> {
        (data.len() <= 64).then(|| Self { id: id.into(), remote: false, data: data.to_vec() })
    }
    fn new_remote(id: impl Into<Id>, _dlc: usize) -> Option<Self> {
        Some(Self { id: id.into(), remote: true, data: Vec::new() })
    }
    fn is_extended(&self) -> bool {
        matches!(self.id, Id::Extended(_))
    }
    fn is_remote_frame(&self) -> bool {
        self.remote
    }
    fn id(&self) -> Id {
        self.id
    }
    fn dlc(&self) -> usize {
        self.data.len()
    }
    fn data(&self) -> &[u8] {
        &self.data
    }
}

pub(crate) fn standard(id: u16, data: &[u8]) -> TestFrame {
    TestFrame::new(StandardId::new(id).unwrap(), data).unwrap()
}

/// A line whose transmit buffer takes `room` bytes until the test makes room again.
#[derive(Clone, Default)]
pub(crate) struct Line(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    room: usize,
    heard: Vec<u8>,
    reader: LinkReader,
}

impl Line {
    pub(crate) fn make_room(&self, bytes: usize) {
        self.0.borrow_mut().room = bytes;
    }

    /// The messages that were completed since the last call.
    pub(crate) fn take(&self) -> Vec<LinkMessage> {
        let bytes = self.take_bytes();
        let reader = &mut self.0.borrow_mut().reader;
        bytes.into_iter().filter_map(|byte| reader.push(byte)).map(Result::unwrap).collect()
    }

    pub(crate) fn take_bytes(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().heard)
    }
}

impl embedded_io::ErrorType for Line {
    type Error = Infallible;
}

impl embedded_io::WriteReady for Line {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.borrow().room > 0)
    }
}

impl embedded_io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut state = self.0.borrow_mut();
        assert!(state.room > 0, "a write here would wait");
        let taken = bytes.len().min(state.room);
        state.heard.extend(&bytes[..taken]);
        state.room -= taken;
        Ok(taken)
    }
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
