//! The source that a configuration names.

use super::{
    BridgeOptions, BridgeSource, LogSource, MergedSource, SocketCanOptions, SocketCanSource, Source,
};
use crate::config::{BridgeSettings, BusSettings, Listen, Restart, SourceConfig};
use anyhow::Context as _;
use std::collections::BTreeSet;
use telltale_core::bridge::{BridgeConfig, acceptance};
use telltale_core::catalog::Catalog;
use telltale_core::frame::{BusId, CanId};
use telltale_wire::bridge::SENSOR_CHANNEL;

/// Opens it.
///
/// # Errors
/// If it cannot be opened, or names a bus that the catalog does not have. A bridge that is not there yet is no error.
pub fn open(
    config: &SourceConfig,
    bus: &BusSettings,
    catalog: Catalog,
) -> anyhow::Result<Box<dyn Source + Send>> {
    if let SourceConfig::Log { path, pace } = config {
        let bus_of = move |channel: &str| catalog.bus_of_channel(channel);
        return Ok(Box::new(LogSource::open(&[path], None, *pace, bus_of)?));
    }
    let mut claimed = BTreeSet::new();
    let mut sources: Vec<Box<dyn Source + Send>> = Vec::new();
    for bridge in config.bridges() {
        let link = link(bridge, &catalog)?;
        for (_, bus) in &link.channels {
            anyhow::ensure!(claimed.insert(*bus), "two bridges bring the bus {:?}", name(&catalog, *bus));
        }
        let line = bridge.line.clone();
        sources.push(Box::new(BridgeSource::new(BridgeOptions { line, link })));
    }
    if config.is_live() {
        sources.insert(0, Box::new(live(bus, &catalog, &claimed)?));
    }
    match sources.len() {
        0 => anyhow::bail!("`source` names nothing to read from"),
        1 => Ok(sources.remove(0)),
        _ => Ok(Box::new(MergedSource::new(sources))),
    }
}

/// The interfaces that the catalog names, but for the buses that bridges bring.
fn live(
    settings: &BusSettings,
    catalog: &Catalog,
    claimed: &BTreeSet<BusId>,
) -> anyhow::Result<SocketCanSource> {
    let buses = catalog.buses.iter().enumerate().map(|(place, bus)| (BusId(place as u8), bus));
    let own = buses.filter(|(id, _)| !claimed.contains(id));
    let interfaces = own.map(|(id, bus)| (bus.interface.clone(), id)).collect();
    let wanted = catalog.signals.iter().filter(|signal| !claimed.contains(&signal.bus));
    let ids: Vec<CanId> = wanted.map(|signal| signal.id).collect::<BTreeSet<_>>().into_iter().collect();
    let options = SocketCanOptions {
        ids: (settings.listen == Listen::Catalog).then_some(ids),
        required: settings.required.clone(),
        restart: settings.restart == Restart::Auto,
        ..SocketCanOptions::new(interfaces)
    };
    Ok(SocketCanSource::open(&options)?)
}

fn link(bridge: &BridgeSettings, catalog: &Catalog) -> anyhow::Result<BridgeConfig> {
    let find = |name: &String| {
        let place = catalog.buses.iter().position(|bus| bus.name == *name);
        place.map(|place| BusId(place as u8)).with_context(|| {
            let known: Vec<&str> = catalog.buses.iter().map(|bus| bus.name.as_str()).collect();
            format!("the bridge on {} brings the bus {name:?}, but the catalog has {known:?}", bridge.line)
        })
    };
    let mut channels = Vec::new();
    for (channel, name) in (0..).zip(&bridge.bus) {
        channels.push((channel, find(name)?));
    }
    let wanted: Vec<(u8, CanId)> = channels
        .iter()
        .flat_map(|(channel, bus)| {
            let ids: BTreeSet<CanId> =
                catalog.signals.iter().filter(|signal| signal.bus == *bus).map(|signal| signal.id).collect();
            ids.into_iter().map(move |id| (*channel, id))
        })
        .collect();
    if let Some(name) = &bridge.sensors {
        channels.push((SENSOR_CHANNEL, find(name)?));
    }
    // Without a signal on its buses there is nothing to filter by: the microcontroller forwards everything.
    let filters = (!wanted.is_empty()).then(|| acceptance(&wanted));
    Ok(BridgeConfig { channels, filters })
}

fn name(catalog: &Catalog, bus: BusId) -> String {
    catalog.buses.get(usize::from(bus.0)).map_or_else(String::new, |bus| bus.name.clone())
}
