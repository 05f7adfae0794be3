//! What a bridge to a microcontroller needs to be told: its line, and which buses it brings.

use crate::source::{BridgeLine, Place, ReadyLine, SpiPlace};
use anyhow::{bail, ensure};
use serde::Deserialize;
use std::path::PathBuf;
use telltale_wire::bridge::SENSOR_CHANNEL;

/// What a bridge has channels for, besides its sensors.
const MAX_BUSES: usize = SENSOR_CHANNEL as usize;

/// The clock and mode of SPI, and the bits a second of a serial line, where none are given.
const SPEED_HZ: u32 = 10_000_000;
const MODE: u8 = 0;
const BAUD: u32 = 2_000_000;

/// A firmware bridge.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Table")]
pub struct BridgeSettings {
    /// The line that it is on.
    pub line: BridgeLine,
    /// The bus of the catalog that its controller is on, or those of its controllers in their order.
    pub bus: Vec<String>,
    /// The bus of the catalog that describes its sensors.
    pub sensors: Option<String>,
}

/// A bridge as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// `/dev/ttyAMA1`, `unix:/path` or `tcp:host:port`.
    device: Option<String>,
    baud: Option<u32>,
    /// `/dev/spidev0.0`.
    spi: Option<PathBuf>,
    speed_hz: Option<u32>,
    mode: Option<u8>,
    /// `/dev/gpiochip0:17`.
    ready: Option<String>,
    bus: Names,
    sensors: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a bus, or a list of such names")]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl TryFrom<Table> for BridgeSettings {
    type Error = anyhow::Error;

    fn try_from(mut table: Table) -> anyhow::Result<BridgeSettings> {
        let line = match (table.device.take(), table.spi.take()) {
            (Some(device), None) => table.stream(&device)?,
            (None, Some(device)) => table.spi(device)?,
            _ => bail!("a bridge has one line: `device` for a serial one, or `spi`"),
        };
        let bus = match table.bus {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        };
        Ok(BridgeSettings { line, bus, sensors: table.sensors })
    }
}

impl Table {
    fn stream(&self, device: &str) -> anyhow::Result<BridgeLine> {
        ensure!(
            self.speed_hz.is_none() && self.mode.is_none() && self.ready.is_none(),
            "`speed_hz`, `mode` and `ready` belong to `spi`; the bridge on {device} is on a serial line"
        );
        Ok(BridgeLine::Stream { place: device.parse::<Place>()?, baud: self.baud.unwrap_or(BAUD) })
    }

    fn spi(&self, device: PathBuf) -> anyhow::Result<BridgeLine> {
        ensure!(
            self.baud.is_none(),
            "`baud` belongs to a serial line; the bridge on {} has `speed_hz`",
            device.display()
        );
        let Some(ready) = &self.ready else {
            bail!(
                "the bridge on {} needs `ready`: the GPIO line on which it calls, as in \"/dev/gpiochip0:17\"",
                device.display()
            );
        };
        Ok(BridgeLine::Spi(SpiPlace {
            device,
            speed_hz: self.speed_hz.unwrap_or(SPEED_HZ),
            mode: self.mode.unwrap_or(MODE),
            ready: ready.parse::<ReadyLine>()?,
        }))
    }
}

impl BridgeSettings {
    /// What cannot be meant.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let line = &self.line;
        ensure!(
            (1..=MAX_BUSES).contains(&self.bus.len()),
            "the bridge on {line} is to name 1 to {MAX_BUSES} buses"
        );
        match line {
            BridgeLine::Stream { baud, .. } => ensure!(
                (9_600..=12_000_000).contains(baud),
                "`baud` of the bridge on {line} is to be 9600 to 12000000"
            ),
            BridgeLine::Spi(spi) => {
                ensure!(
                    (100_000..=100_000_000).contains(&spi.speed_hz),
                    "`speed_hz` of the bridge on {line} is to be 100000 to 100000000"
                );
                ensure!(spi.mode <= 3, "`mode` of the bridge on {line} is to be 0, 1, 2 or 3");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(source: &str) -> anyhow::Result<Config> {
        Config::parse(&format!(
            "vehicle = \"v\"\ncatalog = \"c\"\nspool = {{ dir = \"s\" }}\nsource = {source}\n"
        ))
    }

    #[test]
    fn a_bridge_is_one_source_or_one_of_several() {
        let bridge = r#"{ bridge = { device = "/dev/ttyAMA1", bus = "bms", sensors = "board" } }"#;
        let one = config(bridge).unwrap().source;
        assert!(!one.is_live() && one.bridges()[0].bus == ["bms"]);
        let line = BridgeLine::Stream { place: "/dev/ttyAMA1".parse().unwrap(), baud: 2_000_000 };
        assert_eq!(one.bridges()[0].line, line);
        let two = config(&format!("{{ several = [\"live\", {bridge}] }}")).unwrap().source;
        assert!(two.is_live() && two.bridges().len() == 1);
    }

    #[test]
    fn a_bridge_on_spi_has_a_clock_a_mode_and_a_line_to_call_on() {
        let line = |text: &str| {
            let settings = config(&format!("{{ bridge = {{ {text}, bus = \"bms\" }} }}")).unwrap();
            settings.source.bridges()[0].line.clone()
        };
        let ready: ReadyLine = "/dev/gpiochip0:17".parse().unwrap();
        let plain = SpiPlace { device: "/dev/spidev0.0".into(), speed_hz: 10_000_000, mode: 0, ready };
        let text = r#"spi = "/dev/spidev0.0", ready = "/dev/gpiochip0:17""#;
        assert_eq!(line(text), BridgeLine::Spi(plain.clone()));
        assert_eq!(line(text).to_string(), "/dev/spidev0.0");
        let other = SpiPlace { speed_hz: 4_000_000, mode: 3, ..plain };
        assert_eq!(line(&format!("{text}, speed_hz = 4_000_000, mode = 3")), BridgeLine::Spi(other));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_do() {
        let spi = r#"spi = "/dev/spidev0.0", ready = "/dev/gpiochip0:17""#;
        for (bridge, expected) in [
            (r#"device = "ttyAMA1", bus = "bms""#, "no line"),
            (r#"device = "/dev/x", bus = 7"#, "the name of a bus, or a list"),
            (r#"device = "/dev/x", bus = []"#, "1 to 31 buses"),
            (r#"device = "/dev/x", bus = "b", baud = 300"#, "`baud`"),
            (r#"device = "/dev/x", bus = "b", mode = 1"#, "belong to `spi`"),
            (r#"bus = "b""#, "one line"),
            (&format!(r#"{spi}, device = "/dev/x", bus = "b""#), "one line"),
            (&format!(r#"{spi}, bus = "b", baud = 9600"#), "belongs to a serial line"),
            (&format!(r#"{spi}, bus = "b", mode = 4"#), "0, 1, 2 or 3"),
            (&format!(r#"{spi}, bus = "b", speed_hz = 1"#), "`speed_hz`"),
            (r#"spi = "/dev/spidev0.0", bus = "b""#, "needs `ready`"),
            (r#"spi = "/dev/spidev0.0", ready = "17", bus = "b""#, "no GPIO line"),
            (&format!(r#"{spi}, bus = "b", spede_hz = 1"#), "spede_hz"),
        ] {
            let error = format!("{:#}", config(&format!("{{ bridge = {{ {bridge} }} }}")).unwrap_err());
            assert!(error.contains(expected), "{bridge}: {error}");
        }
        let log = r#"{ several = ["live", { log = { path = "x" } }] }"#;
        assert!(format!("{:#}", config(log).unwrap_err()).contains("bridges only"));
    }
}
