//! A debugger in the place of a CAN controller's registers: what the wire would do to them, in a machine whose model of the
//! controller knows no faulty bits.
//!
//! Speaks the remote protocol of GDB to the emulator (GDB manual, appendix E). The driver reads registers by one function
//! (`kvaser_pci_read_reg(priv, port)`); a breakpoint there answers in the registers' place, once for one error interrupt.
//! Register numbers and bits: SJA1000 data sheet, PeliCAN mode (Linux: `drivers/net/can/sja1000/sja1000.h`).

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const MODE: u64 = 0;
const STATUS: u64 = 2;
const INTERRUPT: u64 = 3;
const RX_ERRORS: u64 = 14;
const TX_ERRORS: u64 = 15;

/// Bits of the interrupt register: a frame was received; error warning or bus-off changed; error passive changed.
const RECEIVED: u64 = 0x01;
pub(crate) const WARNING_CHANGED: u64 = 0x04;
pub(crate) const PASSIVE_CHANGED: u64 = 0x20;
/// Bits of the status register: what a controller says that has room to send; a counter at 96 or above; bus-off.
const ROOM: u64 = 0x0C;
pub(crate) const AT_WARNING: u64 = 0x40;
pub(crate) const BUS_OFF: u64 = 0x80;
/// The mode in which a controller takes no part: where bus-off puts it.
const RESET_MODE: u64 = 1;

/// aarch64's registers as the debugger numbers them: arguments and results, where a function returns to, and where it is.
const X0: usize = 0;
const X1: usize = 1;
const X2: usize = 2;
const LINK: usize = 30;
const PC: usize = 32;

/// The emulator answers at once, but for a breakpoint: that waits for the next frame.
const PATIENCE: Duration = Duration::from_secs(60);
/// Register reads of the other controller and of other interrupts that are passed by.
const MAX_PASSED: u32 = 2_000;

/// What an error interrupt finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// What changed.
    pub(crate) interrupt: u64,
    /// What holds.
    pub(crate) status: u64,
    /// The error counters.
    pub(crate) tx: u64,
    pub(crate) rx: u64,
}

/// Where the driver's functions are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver {
    pub(crate) read: u64,
    pub(crate) write: u64,
}

/// The machine, stopped wherever it is.
pub(crate) struct Debugger {
    stream: UnixStream,
    received: Vec<u8>,
    driver: Driver,
}

impl Debugger {
    /// Stops the machine.
    pub(crate) fn attach(socket: &Path, driver: Driver) -> Result<Debugger> {
        let stream = UnixStream::connect(socket).context("the emulator's debugger is not there")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut debugger = Debugger { stream, received: Vec::new(), driver };
        debugger.send("?")?;
        debugger.stopped()?;
        debugger.command(&format!("Z0,{:x},4", driver.read))?;
        Ok(debugger)
    }

    /// Lets the machine go on, without anything of this left in it.
    pub(crate) fn detach(mut self) -> Result<()> {
        self.command(&format!("z0,{:x},4", self.driver.read))?;
        self.command("D")
    }

    /// Lets the controller that receives the next frame report this, too. One that is bus-off takes no part from then on.
    pub(crate) fn inject(&mut self, fault: Fault) -> Result<()> {
        let mut controller = None;
        let (mut told_tx, mut told_rx, mut is_reset) = (false, false, false);
        for _ in 0..MAX_PASSED {
            self.resume()?;
            let at = self.registers()?;
            ensure!(at.get(PC) == self.driver.read, "the machine stopped at {:x}", at.get(PC));
            let (who, port, back) = (at.get(X0), at.get(X1) & 0xFF, at.get(LINK));
            match (controller, port) {
                (None, INTERRUPT) => {
                    let told = self.run_to(back)?;
                    if told & RECEIVED != 0 {
                        controller = Some(who);
                        self.give(told | fault.interrupt)?;
                    }
                }
                (Some(ours), STATUS) if ours == who && fault.status & BUS_OFF != 0 && !is_reset => {
                    is_reset = true;
                    let mut write = at.clone();
                    write.set(X1, MODE);
                    write.set(X2, RESET_MODE);
                    write.set(PC, self.driver.write);
                    self.set_registers(&write)?;
                    self.run_to(back)?;
                    self.give(fault.status | ROOM)?;
                }
                (Some(ours), STATUS | RX_ERRORS | TX_ERRORS) if ours == who => {
                    let value = match port {
                        STATUS => fault.status | ROOM,
                        RX_ERRORS => fault.rx,
                        _ => fault.tx,
                    };
                    told_tx |= port == TX_ERRORS;
                    told_rx |= port == RX_ERRORS;
                    let mut answered = at.clone();
                    answered.set(X0, value);
                    answered.set(PC, back);
                    self.set_registers(&answered)?;
                    if told_tx && told_rx {
                        return Ok(());
                    }
                }
                _ => self.step_over()?,
            }
        }
        bail!("the driver did not ask for the error counters");
    }

    /// Goes on to where the function returns and gives what it returns.
    fn run_to(&mut self, back: u64) -> Result<u64> {
        let read = self.driver.read;
        self.command(&format!("z0,{read:x},4"))?;
        self.command(&format!("Z0,{back:x},4"))?;
        self.resume()?;
        let at = self.registers()?;
        ensure!(at.get(PC) == back, "the machine stopped at {:x}, not at {back:x}", at.get(PC));
        self.command(&format!("z0,{back:x},4"))?;
        self.command(&format!("Z0,{read:x},4"))?;
        Ok(at.get(X0) & 0xFF)
    }

    /// Lets the function that has just returned have returned this.
    fn give(&mut self, value: u64) -> Result<()> {
        let mut at = self.registers()?;
        at.set(X0, value);
        self.set_registers(&at)
    }

    /// Executes one instruction: with the breakpoint in place the machine would not get past it.
    fn step_over(&mut self) -> Result<()> {
        let read = self.driver.read;
        self.command(&format!("z0,{read:x},4"))?;
        self.send("s")?;
        self.stopped()?;
        self.command(&format!("Z0,{read:x},4"))
    }

    fn resume(&mut self) -> Result<()> {
        self.send("c")?;
        self.stopped()
    }

    fn registers(&mut self) -> Result<Registers> {
        self.send("g")?;
        let text = self.answer()?;
        let digits = text.as_bytes().chunks_exact(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.map(byte).collect();
        let bytes = bytes.filter(|bytes| bytes.len() >= 8 * (PC + 1));
        Ok(Registers(bytes.with_context(|| format!("the debugger tells no registers: {text}"))?))
    }

    fn set_registers(&mut self, registers: &Registers) -> Result<()> {
        let text: String = registers.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.command(&format!("G{text}"))
    }

    fn command(&mut self, packet: &str) -> Result<()> {
        self.send(packet)?;
        let answer = self.answer()?;
        ensure!(answer == "OK", "the debugger refuses {}: {answer}", packet.get(..20).unwrap_or(packet));
        Ok(())
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        Ok(self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes())?)
    }

    /// The next answer that tells no stop: attaching stops the machine, and that is told besides.
    fn answer(&mut self) -> Result<String> {
        loop {
            let packet = self.packet()?;
            if !packet.starts_with(['T', 'S']) {
                return Ok(packet);
            }
        }
    }

    fn stopped(&mut self) -> Result<()> {
        let packet = self.packet().context("no stop was told: does anyone send frames?")?;
        ensure!(packet.starts_with(['T', 'S']), "the machine did not stop: {packet}");
        Ok(())
    }

    fn packet(&mut self) -> Result<String> {
        loop {
            let start = self.received.iter().position(|byte| *byte == b'$');
            let end = self.received.iter().position(|byte| *byte == b'#');
            if let (Some(start), Some(end)) = (start, end)
                && self.received.len() >= end + 3
            {
                let packet = self.received.get(start + 1..end).context("a packet ends before it begins")?;
                let packet = String::from_utf8_lossy(packet).into_owned();
                self.received.drain(..end + 3);
                self.stream.write_all(b"+")?;
                return Ok(packet);
            }
            let mut bytes = [0; 4_096];
            let got = self.stream.read(&mut bytes)?;
            ensure!(got > 0, "the emulator ended");
            self.received.extend_from_slice(&bytes[..got]);
        }
    }
}

/// All registers, eight bytes each, least significant first.
#[derive(Clone)]
struct Registers(Vec<u8>);

impl Registers {
    fn get(&self, number: usize) -> u64 {
        let bytes = self.0.get(8 * number..8 * number + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }

    fn set(&mut self, number: usize, value: u64) {
        if let Some(bytes) = self.0.get_mut(8 * number..8 * number + 8) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
    }
}
