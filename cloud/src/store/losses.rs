//! The account of what never arrived: losses by lane and stage, and the gaps that they explain or do not.

use super::read::{LOSS, collect, newest};
use super::{StoreError, lines, spans};
use crate::report::{GapLine, LossTotal, MAX_GAPS};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
use telltale_wire::ids::BootId;
use telltale_wire::record::{LossRecord, Record};

/// The most losses of a vehicle that are added up and that explain gaps: the newest. About 4 MB.
const MAX_ACCOUNTED: usize = 20_000;

async fn told(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<LossRecord>, StoreError> {
    let stored = newest(tx, vehicle, LOSS, MAX_ACCOUNTED).await?;
    Ok(collect(&stored, |record, _| match record {
        Record::Loss(loss) => Some(loss.clone()),
        _ => None,
    }))
}

/// Losses added up by lane and stage, the most urgent lane first and those without a lane last.
pub(super) async fn totals(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<LossTotal>, StoreError> {
    let mut totals: BTreeMap<(u8, &'static str), LossTotal> = BTreeMap::new();
    for loss in told(tx, vehicle).await? {
        let lane = loss.range.map(|range| range.lane);
        let (stage, of) = lines::stage(loss.stage);
        let empty = LossTotal { lane: lane.map(|lane| lane.name()), stage, of, times: 0, count: 0 };
        let total = totals.entry((lane.map_or(u8::MAX, |lane| lane as u8), stage)).or_insert(empty);
        total.times += 1;
        total.count = total.count.saturating_add(loss.count);
    }
    Ok(totals.into_values().collect())
}

/// The numbers that never came, the latest noticed first.
pub(super) async fn gaps(tx: &mut SqliteConnection, vehicle: i64) -> Result<Vec<GapLine>, StoreError> {
    let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT boot, lane, first, last, noticed FROM gaps WHERE vehicle = ? ORDER BY noticed DESC LIMIT ?",
    )
    .bind(vehicle)
    .bind(MAX_GAPS as i64)
    .fetch_all(&mut *tx)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut told_of: HashMap<(BootId, i64), Vec<spans::Span>> = HashMap::new();
    for range in told(tx, vehicle).await?.iter().filter_map(|loss| loss.range) {
        told_of.entry((range.boot, range.lane as i64)).or_default().push((range.first.0, range.last.0));
    }
    let gap = |(boot, lane, first, last, noticed): (i64, i64, i64, i64, i64)| {
        let boot = BootId(boot.cast_unsigned());
        let span = (first.cast_unsigned(), last.cast_unsigned());
        let told = told_of.get(&(boot, lane)).map_or(&[][..], Vec::as_slice);
        GapLine {
            range: lines::range(boot, lines::lane(lane), span),
            noticed: lines::time(noticed),
            explained: spans::covered(span, told),
        }
    };
    Ok(rows.into_iter().map(gap).collect())
}
