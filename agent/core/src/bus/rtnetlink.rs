//! Interfaces as the kernel tells of them, and what is asked of it. Pure: bytes in, bytes out.
//!
//! Source: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`, `linux/can/netlink.h`. Numbers are in the byte
//! order of the machine. What is cut short or unknown is left out.

use telltale_wire::bus::{BusState, ErrorCounters, InterfaceCounters};

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLM_F_DUMP: u16 = 0x300;

const IFF_UP: u32 = 1;
/// `ARPHRD_CAN` of `linux/if_arp.h`.
const ARPHRD_CAN: u16 = 280;

const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_CAN_STATE: u16 = 4;
const IFLA_CAN_RESTART_MS: u16 = 6;
const IFLA_CAN_RESTART: u16 = 7;
const IFLA_CAN_BERR_COUNTER: u16 = 8;
/// An attribute's type without its flags.
const TYPE_MASK: u16 = 0x3FFF;

/// One message of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelMessage<'b> {
    /// An interface is there, new or as it was.
    Link(LinkState<'b>),
    /// The interface with this number is gone.
    Gone(u32),
    /// The end of a list of interfaces.
    Done,
    /// The answer to a request: 0, or the error's number.
    Answer(i32),
    /// Anything else.
    Other,
}

/// An interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkState<'b> {
    /// Its number, which it keeps when it is renamed.
    pub index: u32,
    /// Its name.
    pub name: &'b str,
    /// Whether it is a CAN interface.
    pub is_can: bool,
    /// Whether it is up.
    pub is_up: bool,
    /// What its controller is in; `None` for a virtual one, and for one that is stopped.
    pub controller: Option<BusState>,
    /// Its controller's error counters, where the driver tells them.
    pub counters: Option<ErrorCounters>,
    /// After how many milliseconds the kernel restarts it by itself; 0 if it does not.
    pub restart_ms: u32,
    /// What it has counted.
    pub counted: Option<InterfaceCounters>,
}

/// The messages of one datagram.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = KernelMessage<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let len = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(..len).filter(|message| message.len() >= HEADER)?;
        rest = rest.get(aligned(len)..).unwrap_or_default();
        Some(message_of(message))
    })
}

fn message_of(message: &[u8]) -> KernelMessage<'_> {
    let body = message.get(HEADER..).unwrap_or_default();
    match u16_at(message, 4) {
        Some(RTM_NEWLINK) => link(body).map_or(KernelMessage::Other, KernelMessage::Link),
        Some(RTM_DELLINK) => u32_at(body, 4).map_or(KernelMessage::Other, KernelMessage::Gone),
        Some(NLMSG_DONE) => KernelMessage::Done,
        Some(NLMSG_ERROR) => u32_at(body, 0)
            .map_or(KernelMessage::Other, |n| KernelMessage::Answer(n.cast_signed().saturating_neg())),
        _ => KernelMessage::Other,
    }
}

/// `struct ifinfomsg` and its attributes.
fn link(body: &[u8]) -> Option<LinkState<'_>> {
    let mut link = LinkState {
        is_can: u16_at(body, 2)? == ARPHRD_CAN,
        index: u32_at(body, 4)?,
        is_up: u32_at(body, 8)? & IFF_UP != 0,
        ..LinkState::default()
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_STATS64 => link.counted = counted(value),
            IFLA_LINKINFO => info(value, &mut link),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn info(value: &[u8], link: &mut LinkState<'_>) {
    let of = |wanted| attributes(value).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if of(IFLA_INFO_KIND).map(text) != Some("can") {
        return;
    }
    for (kind, value) in attributes(of(IFLA_INFO_DATA).unwrap_or_default()) {
        match kind {
            IFLA_CAN_STATE => {
                link.controller = match u32_at(value, 0) {
                    Some(0) => Some(BusState::Active),
                    Some(1) => Some(BusState::Warning),
                    Some(2) => Some(BusState::Passive),
                    Some(3) => Some(BusState::Off),
                    _ => None,
                }
            }
            IFLA_CAN_RESTART_MS => link.restart_ms = u32_at(value, 0).unwrap_or(0),
            IFLA_CAN_BERR_COUNTER => {
                let pair = u16_at(value, 0).zip(u16_at(value, 2));
                link.counters = pair.map(|(tx, rx)| ErrorCounters { tx, rx });
            }
            _ => {}
        }
    }
}

/// `struct rtnl_link_stats64`.
fn counted(value: &[u8]) -> Option<InterfaceCounters> {
    let word = |n: usize| value.get(n * 8..n * 8 + 8)?.try_into().ok().map(u64::from_ne_bytes);
    Some(InterfaceCounters { received: word(0)?, errors: word(4)?, dropped: word(6)?, overruns: word(11)? })
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let (kind, value) = (u16_at(rest, 2)? & TYPE_MASK, rest.get(4..len)?);
        rest = rest.get(aligned(len)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A zero-terminated name; empty if it is no text.
fn text(value: &[u8]) -> &str {
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default()
}

const fn aligned(len: usize) -> usize {
    (len + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Asks for all interfaces.
#[must_use]
pub fn list_request() -> Vec<u8> {
    request(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, &[])
}

/// Asks that the controller of an interface be restarted. The kernel refuses unless it is bus-off, and unless
/// whoever asks has `CAP_NET_ADMIN`.
#[must_use]
pub fn restart_request(index: u32) -> Vec<u8> {
    let data = attribute(IFLA_INFO_DATA, &attribute(IFLA_CAN_RESTART, &1_u32.to_ne_bytes()));
    let info = [attribute(IFLA_INFO_KIND, b"can"), data].concat();
    request(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, index, &attribute(IFLA_LINKINFO, &info))
}

fn request(kind: u16, flags: u16, index: u32, attributes: &[u8]) -> Vec<u8> {
    let len = (HEADER + 16 + attributes.len()) as u32;
    let mut bytes = Vec::with_capacity(len as usize);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([0; 4]);
    bytes.extend(index.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(attributes);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = 4 + value.len();
    let mut bytes = Vec::with_capacity(aligned(len));
    bytes.extend((len as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(len), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newlink(name: &str, flags: u32, more: &[u8]) -> Vec<u8> {
        let attributes = [attribute(IFLA_IFNAME, &[name.as_bytes(), &[0]].concat()), more.to_vec()].concat();
        let mut bytes = request(RTM_NEWLINK, 0, 7, &attributes);
        bytes[18..20].copy_from_slice(&ARPHRD_CAN.to_ne_bytes());
        bytes[24..28].copy_from_slice(&flags.to_ne_bytes());
        bytes
    }

    fn controller() -> Vec<u8> {
        let words: Vec<u8> = (0..24_u64).flat_map(|n| (n * 10).to_ne_bytes()).collect();
        let data = [
            attribute(IFLA_CAN_STATE, &3_u32.to_ne_bytes()),
            attribute(IFLA_CAN_RESTART_MS, &100_u32.to_ne_bytes()),
            attribute(IFLA_CAN_BERR_COUNTER, &[[0, 1_u8], [2, 0]].concat()),
        ]
        .concat();
        let info = [attribute(IFLA_INFO_KIND, b"can\0"), attribute(IFLA_INFO_DATA, &data)].concat();
        [attribute(IFLA_STATS64, &words), attribute(IFLA_LINKINFO | 0x8000, &info)].concat()
    }

    #[test]
    fn interfaces_are_read_with_their_controllers() {
        let datagram = [
            newlink("can0", IFF_UP, &controller()),
            newlink("vcan0", 0, &[]),
            request(RTM_DELLINK, 0, 9, &[]),
            request(NLMSG_DONE, 0, 0, &[]),
        ]
        .concat();
        let told: Vec<KernelMessage<'_>> = messages(&datagram).collect();
        let counted = InterfaceCounters { received: 0, errors: 40, dropped: 60, overruns: 110 };
        let KernelMessage::Link(can) = told[0] else { panic!("{told:?}") };
        assert_eq!((can.index, can.name, can.is_can, can.is_up), (7, "can0", true, true));
        assert_eq!((can.controller, can.restart_ms, can.counted), (Some(BusState::Off), 100, Some(counted)));
        assert_eq!(
            can.counters,
            Some(ErrorCounters { tx: u16::from_ne_bytes([0, 1]), rx: u16::from_ne_bytes([2, 0]) })
        );
        let KernelMessage::Link(virtual_one) = told[1] else { panic!("{told:?}") };
        assert_eq!((virtual_one.name, virtual_one.is_up, virtual_one.controller), ("vcan0", false, None));
        assert_eq!(told[2..], [KernelMessage::Gone(9), KernelMessage::Done]);
    }

    #[test]
    fn answers_are_error_numbers() {
        let mut refused = request(NLMSG_ERROR, 0, 0, &[]);
        refused[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(messages(&refused).next(), Some(KernelMessage::Answer(1)));
    }

    #[test]
    fn bytes_that_are_cut_or_turned_never_panic() {
        let whole = [newlink("can0", IFF_UP, &controller()), newlink("can1", 0, &controller())].concat();
        for len in 0..whole.len() {
            messages(&whole[..len]).for_each(drop);
            let mut turned = whole.clone();
            for value in [0, 1, 0x7F, 0xFF] {
                turned[len] = value;
                assert!(messages(&turned).count() <= whole.len());
            }
        }
    }

    #[test]
    fn a_restart_names_the_interface_and_the_kind() {
        let bytes = restart_request(5);
        assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 20)), (Some(bytes.len() as u32), Some(5)));
        let (kind, info) = attributes(&bytes[32..]).next().unwrap();
        assert_eq!(kind, IFLA_LINKINFO);
        let parts: Vec<_> = attributes(info).collect();
        assert_eq!(parts[0], (IFLA_INFO_KIND, &b"can"[..]));
        assert_eq!(attributes(parts[1].1).next(), Some((IFLA_CAN_RESTART, &1_u32.to_ne_bytes()[..])));
    }
}
