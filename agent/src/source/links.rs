//! The interfaces of the buses as they come and go: listens to rtnetlink, and asks once a second how the controllers
//! fare. An interface is known by its name: whichever bears the name that the catalog gives is the bus.

use super::SourceError;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use telltale_core::bus::rtnetlink::{self, KernelMessage, LinkState};
use telltale_core::bus::{Absence, LinkEvent, LinkNews, RestartPolicy};
use telltale_core::frame::BusId;
use telltale_wire::bus::BusState;
use telltale_wire::time::MonoTime;

/// `RTMGRP_LINK` of `linux/rtnetlink.h`: interfaces that come, go and change.
const NEWS_OF_LINKS: u32 = 1;

/// The kernel fills at most so much for one read (`netlink_dump`).
const BUFFER: usize = 32 * 1024;

/// How often the kernel is asked, besides what it tells by itself: controllers change their state without news.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// How often the socket is looked into. A frame of an interface that is not known yet looks at once.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// One interface that the catalog names.
struct Watched {
    name: String,
    bus: BusId,
    index: Option<u32>,
    is_up: bool,
    controller: Option<BusState>,
    restarts_itself: bool,
    policy: RestartPolicy,
    /// Seen in the list that is being read.
    is_listed: bool,
    /// What bears the name is no CAN interface.
    is_foreign: bool,
}

/// The interfaces of all buses.
pub(super) struct Links {
    socket: OwnedFd,
    buffer: Vec<u8>,
    watched: Vec<Watched>,
    news: VecDeque<LinkNews>,
    may_restart: bool,
    asked: MonoTime,
    turned: MonoTime,
}

impl Links {
    /// Listens, and reads what there is now. `restart` says whether controllers that are bus-off are restarted.
    pub(super) fn open(interfaces: &[(String, BusId)], restart: bool, now: MonoTime) -> io::Result<Links> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol is protocol 0, which is NETLINK_ROUTE.
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        net::bind(&socket, &SocketAddrNetlink::new(0, NEWS_OF_LINKS))?;
        let watched = interfaces.iter().map(|(name, bus)| Watched {
            name: name.clone(),
            bus: *bus,
            index: None,
            is_up: false,
            controller: None,
            restarts_itself: false,
            policy: RestartPolicy::new(now.as_micros() ^ u64::from(bus.0)),
            is_listed: false,
            is_foreign: false,
        });
        let mut links = Links {
            socket,
            buffer: Vec::with_capacity(BUFFER),
            watched: watched.collect(),
            news: VecDeque::new(),
            may_restart: restart,
            asked: now,
            turned: now,
        };
        links.ask(now)?;
        links.look(now)?;
        for watched in links.watched.iter().filter(|watched| watched.index.is_none()) {
            let event = LinkEvent::Absent(Absence::NeverSeen);
            links.news.push_back(LinkNews { at: now, bus: watched.bus, event });
        }
        Ok(links)
    }

    /// The bus that the interface with this number is.
    pub(super) fn bus_of(&self, index: u32) -> Option<BusId> {
        self.watched.iter().find(|watched| watched.index == Some(index)).map(|watched| watched.bus)
    }

    /// Whether a bus is one of these.
    pub(super) fn watches(&self, bus: BusId) -> bool {
        self.watched.iter().any(|watched| watched.bus == bus)
    }

    /// Refuses names that are no CAN interfaces; and those of `required` that are absent or down.
    pub(super) fn check(&self, required: &[String]) -> Result<(), SourceError> {
        for watched in &self.watched {
            let name = watched.name.clone();
            let is_required = required.contains(&name);
            if watched.is_foreign {
                return Err(SourceError::NotCan { name });
            } else if is_required && watched.index.is_none() {
                return Err(SourceError::NoSuchInterface { name });
            } else if is_required && !watched.is_up {
                return Err(SourceError::InterfaceDown { name });
            }
        }
        Ok(())
    }

    /// Takes the next news.
    pub(super) fn poll(&mut self) -> Option<LinkNews> {
        self.news.pop_front()
    }

    /// Looks, asks and restarts when it is time to.
    pub(super) fn turn(&mut self, now: MonoTime) -> io::Result<()> {
        if now.since(self.turned) < LOOK_PERIOD {
            return Ok(());
        }
        self.turned = now;
        if now.since(self.asked) >= ASK_PERIOD {
            self.ask(now)?;
        }
        self.look(now)?;
        self.restart(now)
    }

    /// Takes what the kernel has told until now.
    pub(super) fn look(&mut self, now: MonoTime) -> io::Result<()> {
        loop {
            // The buffer goes out and comes back, so that its messages can be followed while this changes.
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let received =
                net::recv(&self.socket, rustix::buffer::spare_capacity(&mut buffer), RecvFlags::empty());
            match received {
                Ok(_) => rtnetlink::messages(&buffer).for_each(|message| self.take(message, now)),
                Err(rustix::io::Errno::AGAIN) => {
                    self.buffer = buffer;
                    return Ok(());
                }
                // News were lost: the list tells what they would have told.
                Err(rustix::io::Errno::NOBUFS) => self.ask(now)?,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    self.buffer = buffer;
                    return Err(error.into());
                }
            }
            self.buffer = buffer;
        }
    }

    fn ask(&mut self, now: MonoTime) -> io::Result<()> {
        self.asked = now;
        match net::send(&self.socket, &rtnetlink::list_request(), SendFlags::empty()) {
            Ok(_) => {
                self.watched.iter_mut().for_each(|watched| watched.is_listed = false);
                Ok(())
            }
            // A list is still being read: it is as good.
            Err(rustix::io::Errno::BUSY) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, message: KernelMessage<'_>, now: MonoTime) {
        let news = &mut self.news;
        match message {
            KernelMessage::Link(link) => {
                for watched in &mut self.watched {
                    watched.link(&link, now, news);
                }
            }
            KernelMessage::Gone(index) => {
                for watched in self.watched.iter_mut().filter(|watched| watched.index == Some(index)) {
                    watched.lose(Absence::Removed, now, news);
                }
            }
            KernelMessage::Done => {
                for watched in self.watched.iter_mut().filter(|w| w.index.is_some() && !w.is_listed) {
                    watched.lose(Absence::Removed, now, news);
                }
            }
            KernelMessage::Answer(libc::EPERM | libc::EACCES) => {
                if std::mem::take(&mut self.may_restart) {
                    log::warn!(
                        "a controller is bus-off and can't be restarted: give the agent CAP_NET_ADMIN, or set \
                         `ip link set <interface> type can restart-ms 1000`"
                    );
                }
            }
            // A refusal for another reason: the controller came back by itself.
            KernelMessage::Answer(_) | KernelMessage::Other => {}
        }
    }

    fn restart(&mut self, now: MonoTime) -> io::Result<()> {
        for watched in &mut self.watched {
            let Some(index) = watched.index else { continue };
            if !self.may_restart || watched.restarts_itself || !watched.policy.poll_restart(now) {
                continue;
            }
            log::info!("{} is bus-off: restarting its controller", watched.name);
            net::send(&self.socket, &rtnetlink::restart_request(index), SendFlags::empty())?;
            self.news.push_back(LinkNews { at: now, bus: watched.bus, event: LinkEvent::Restarting });
        }
        Ok(())
    }
}

impl Watched {
    fn link(&mut self, link: &LinkState<'_>, now: MonoTime, news: &mut VecDeque<LinkNews>) {
        if link.name != self.name {
            if self.index == Some(link.index) {
                self.lose(Absence::Renamed, now, news);
            }
            return;
        }
        self.is_foreign = !link.is_can;
        if self.is_foreign {
            return;
        }
        self.is_listed = true;
        let mut tell = |event| news.push_back(LinkNews { at: now, bus: self.bus, event });
        if self.index != Some(link.index) || self.is_up != link.is_up {
            tell(if link.is_up { LinkEvent::Up } else { LinkEvent::Down });
            self.controller = None;
        }
        (self.index, self.is_up) = (Some(link.index), link.is_up);
        self.restarts_itself = link.restart_ms > 0;
        if let Some(counted) = link.counted {
            tell(LinkEvent::Counted(counted));
        }
        match link.controller {
            Some(state) if link.is_up => {
                if self.controller != Some(state) {
                    tell(LinkEvent::Controller { state, counters: link.counters });
                }
                self.controller = Some(state);
                match state {
                    BusState::Off => self.policy.handle_off(now),
                    _ => self.policy.handle_on(now),
                }
            }
            _ => self.policy.handle_gone(),
        }
    }

    fn lose(&mut self, why: Absence, now: MonoTime, news: &mut VecDeque<LinkNews>) {
        (self.index, self.is_up, self.controller) = (None, false, None);
        self.policy.handle_gone();
        news.push_back(LinkNews { at: now, bus: self.bus, event: LinkEvent::Absent(why) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_an_interface_that_is_no_bus_do_not_keep_it_from_asking() {
        let start = MonoTime(1_000_000);
        let mut links = Links::open(&[("no-such-can".into(), BusId(0))], true, start).unwrap();
        // Each such frame looks at once; they come every ten milliseconds.
        for ms in (10..2_500).step_by(10) {
            let now = start.plus(Duration::from_millis(ms));
            links.look(now).unwrap();
            links.turn(now).unwrap();
        }
        assert!(links.asked.since(start) >= Duration::from_secs(2), "asked last at {:?}", links.asked);
    }
}
