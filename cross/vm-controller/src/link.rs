//! Brings a CAN interface up with a bitrate, as `ip link set can0 up type can bitrate 500000` does (`linux/rtnetlink.h`,
//! `linux/can/netlink.h`).

use anyhow::{Context as _, Result, bail};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const IFF_UP: u32 = 1;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_CAN_BITTIMING: u16 = 1;
/// `struct can_bittiming`: the bitrate, and seven words that the kernel works out where they are zero.
const BITTIMING_WORDS: usize = 8;

/// Sets the bitrate and brings the interface up.
pub(crate) fn bring_up(interface: &str, bitrate: u32) -> Result<()> {
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let index = net::netdevice::name_to_index(&socket, interface).context("there is none of this name")?;
    net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    net::send(&socket, &request(index, bitrate), SendFlags::empty())?;
    let mut answer = vec![0; 4_096];
    let (got, _) = net::recv(&socket, &mut answer, RecvFlags::empty())?;
    let word =
        |at: usize| answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match (kind, word(HEADER)) {
        (Some(NLMSG_ERROR), Some(0)) if got > HEADER => Ok(()),
        (Some(NLMSG_ERROR), Some(error)) => Err(io::Error::from_raw_os_error(-error).into()),
        _ => bail!("the kernel's answer makes no sense"),
    }
}

fn request(index: u32, bitrate: u32) -> Vec<u8> {
    let mut timing = bitrate.to_ne_bytes().to_vec();
    timing.resize(BITTIMING_WORDS * 4, 0);
    let data = attribute(IFLA_INFO_DATA, &attribute(IFLA_CAN_BITTIMING, &timing));
    let info = attribute(IFLA_LINKINFO, &[attribute(IFLA_INFO_KIND, b"can"), data].concat());
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    // The flags, and which of them are meant.
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(info);
    let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(RTM_NEWLINK.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
