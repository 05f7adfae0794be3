//! The vehicle's programs listen to CAN and never speak: one file opens CAN sockets, nothing in it writes, and no call
//! that could send a frame stands anywhere else. So no command, model, configuration or fault of the agent reaches an
//! actuator over a bus that it listens to.

use super::Finding;
use super::text::words;
use crate::code;

/// What runs in the vehicle.
const VEHICLE: &[&str] = &[
    "agent/src/",
    "agent/core/src/",
    "agent/infer/src/",
    "agent/qlinear/src/",
    "agent/trust/src/",
    "firmware-bridge/src/",
    "firmware-bridge/firmware/src/",
];

/// The one file that opens CAN sockets.
const LISTENER: &str = "agent/src/source/socket_can.rs";

/// The one file that sends on a socket of its own, netlink: lists and restarts interfaces (`rtnetlink(7)`).
const NETLINK: &str = "agent/src/source/links.rs";

/// How a CAN socket is made or named.
const SOCKETS: &[&str] = &[
    "AF_CAN",
    "PF_CAN",
    "CanSocket",
    "CanFdSocket",
    "CanAnySocket",
    "CanRawSocket",
    "CanAddr",
    "CAN_RAW",
    "CAN_BCM",
];

/// What sends frames, by `socketcan`, `embedded-can`, `rustix` or the system's calls.
const SENDING: &[&str] = &[
    "write_frame",
    "write_frame_insist",
    "transmit",
    "try_transmit",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "pwrite",
    "writev",
];

/// What a file with a CAN socket must not even name.
const WRITING: &[&str] = &["write", "write_all", "send", "Write", "AsyncWrite", "splice", "sendfile"];

/// The findings in one file.
pub(super) fn check(file: &str, content: &str) -> Vec<Finding> {
    let test_only = file.ends_with("tests.rs") || file.contains("/tests/");
    if test_only || !VEHICLE.iter().any(|folder| file.starts_with(folder)) || !file.ends_with(".rs") {
        return Vec::new();
    }
    let stripped = code::strip(content);
    let code = code::before_tests(&stripped);
    let mut findings = Vec::new();
    let mut find = |names: &[&str], advice: &str| {
        for (name, at) in names.iter().flat_map(|name| words(code, name).map(move |at| (name, at))) {
            let line = code[..at].matches('\n').count() + 1;
            let advice = format!("`{name}`: {advice}");
            findings.push(Finding { file: file.to_owned(), line, rule: "listens-only", advice });
        }
    };
    find(SENDING, "the vehicle's programs listen to buses and send nothing");
    if file == LISTENER {
        find(WRITING, "a CAN socket is read from, never written to");
    } else {
        find(SOCKETS, "CAN sockets are opened in agent/src/source/socket_can.rs alone");
    }
    if file != NETLINK && file != LISTENER && code.contains("rustix::net") {
        find(&["send"], "agent/src/source/links.rs alone sends on a socket of the system's");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, code: &str) -> Vec<usize> {
        check(file, &format!("//! Doc.\n{code}\n")).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_frame_that_is_sent_is_found_wherever_it_is() {
        for code in ["socket.write_frame(&frame)?;", "can.transmit(&frame)", "libc::sendmsg(fd, &m, 0)"] {
            for file in [
                LISTENER,
                "agent/src/drive.rs",
                "agent/core/src/bus/monitor.rs",
                "firmware-bridge/src/ring.rs",
            ] {
                assert_eq!(lines(file, code), [2], "{file}: {code}");
            }
            assert!(lines("cross/can-load/src/socket.rs", code).is_empty(), "a tool of the bench may");
        }
    }

    #[test]
    fn a_can_socket_is_opened_in_one_file_and_not_written_to() {
        let open = "let socket = CanFdSocket::open_addr(&address)?;";
        assert_eq!(lines("agent/src/update/commands.rs", open), [2]);
        assert!(lines(LISTENER, open).is_empty());
        for write in ["use std::io::Write;", "socket.write(&bytes)?;", "rustix::io::write(&socket, &bytes)?;"]
        {
            assert_eq!(lines(LISTENER, write), [2], "{write}");
        }
        assert_eq!(lines("agent/src/desk.rs", "use rustix::net;\nnet::send(&s, &b, f)?;"), [3]);
        assert!(lines(NETLINK, "use rustix::net;\nnet::send(&s, &b, f)?;").is_empty());
        assert!(
            lines(LISTENER, "// one could write here\n#[cfg(test)]\nmod t { use std::io::Write; }")
                .is_empty()
        );
    }
}
