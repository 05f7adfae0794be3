//! Whether a bundle fits this vehicle, by its verified index alone: before anything large is fetched.

use telltale_core::catalog::Catalog;
use telltale_core::update::Failure;
use telltale_wire::bundle::{AgentVersion, BundleIndex, SignalNeed};
use telltale_wire::update::UpdateReason;

/// What stands for the numbers in a need's path.
const PLACEHOLDER: &str = "{n}";

/// Whether this agent with this catalog can run the bundle, and it is not longer than `most` bytes. That its hardware
/// is this one was verified before.
///
/// # Errors
/// Why not.
pub(super) fn fits(index: &BundleIndex, catalog: &Catalog, most: u64) -> Result<(), Failure> {
    let refuse = |reason, why| Err(Failure { reason, why });
    let agent: AgentVersion = env!("CARGO_PKG_VERSION").parse().unwrap_or_default();
    if index.min_agent > agent {
        let why = format!("it needs agent {}, this is {agent}", index.min_agent);
        return refuse(UpdateReason::AgentTooOld, why);
    }
    if index.length() > most {
        let why = format!("it has {} bytes, at most {most} are taken (`update.max_mib`)", index.length());
        return refuse(UpdateReason::TooLarge, why);
    }
    match index.needs.iter().find_map(|need| lack(need, catalog)) {
        Some(why) => refuse(UpdateReason::CatalogLacks, why),
        None => Ok(()),
    }
}

/// What the catalog lacks for a need.
fn lack(need: &SignalNeed, catalog: &Catalog) -> Option<String> {
    let path = need.vss.replace(PLACEHOLDER, "1");
    let Some(id) = catalog.signal_id(&path) else { return Some(format!("no signal {path}")) };
    let found = catalog.signals.get(id.index()).map(|signal| signal.unit);
    (found != Some(need.unit)).then(|| {
        let found = found.map_or("nothing", |unit| unit.symbol());
        format!("{path} is in {found}, it needs {}", need.unit.symbol())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::bundle::{Budget, BundleName, HardwareId, Part, PartKind};
    use telltale_wire::digest::Digest;
    use telltale_wire::unit::Unit;

    fn catalog() -> Catalog {
        let dbc = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Cells: 8 BMS\n SG_ C1 : 0|16@1+ (0.001,0) [0|5] \"V\" XXX\n";
        let text = "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"bms.dbc\"]\n[[signal]]\nvss = \"Pack.Cell{n}\"\n\
            n = \"1..1\"\nsignal = \"C{n}\"\nmin = 1.0\nmax = 5.0\n";
        Catalog::parse(text, "c.toml", &mut |_| Ok(dbc.as_bytes().to_vec())).unwrap()
    }

    fn index(need: &str, unit: Unit) -> BundleIndex {
        let name = || BundleName::new("m").unwrap();
        BundleIndex {
            family: name(),
            name: name(),
            version: "1".into(),
            release: 1,
            hardware: vec![HardwareId::new("ecu").unwrap()],
            min_agent: AgentVersion::default(),
            features: Digest::of(b""),
            needs: vec![SignalNeed { vss: need.into(), unit }],
            budget: Budget { latency_us: 1, memory_bytes: 1 },
            golden_tolerance: 0,
            chunk_exponent: 10,
            parts: vec![Part { kind: PartKind::Model, length: 1_000 }],
            chunks: vec![Digest::of(b"")],
            seal: None,
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let (catalog, good) = (catalog(), index("Pack.Cell{n}", Unit::Volt));
        assert_eq!(fits(&good, &catalog, 1_000), Ok(()));
        let reason = |index: &BundleIndex, most| fits(index, &catalog, most).unwrap_err();
        assert_eq!(reason(&good, 999).reason, UpdateReason::TooLarge);
        let newer = BundleIndex { min_agent: "99.0.0".parse().unwrap(), ..good };
        assert_eq!(reason(&newer, 1_000).reason, UpdateReason::AgentTooOld);
        let absent = reason(&index("Pack.Current", Unit::Ampere), 1_000);
        assert_eq!(
            (absent.reason, absent.why.as_str()),
            (UpdateReason::CatalogLacks, "no signal Pack.Current")
        );
        let other = reason(&index("Pack.Cell{n}", Unit::Ampere), 1_000);
        assert_eq!(
            (other.reason, other.why.as_str()),
            (UpdateReason::CatalogLacks, "Pack.Cell1 is in V, it needs A")
        );
    }
}
