//! Trips in and out: an index by the time of their start, and what stands in a range of it.

use super::ingest::{Intake, Place};
use super::lines::{Origin, finite, when};
use super::stored::{Pages, Stored};
use super::{Store, StoreError};
use crate::signals::Asked;
use crate::trips::{MAX_TRIPS, TripLine, TripsReport};
use sqlx::SqliteConnection;
use telltale_wire::ids::BootId;
use telltale_wire::record::{IndeterminateReason, RawRecord, Record};
use telltale_wire::trip::TripRecord;

/// The number of trips among the record kinds.
const TRIP: u16 = 15;

impl Intake<'_> {
    /// Enters a record of kind 15.
    pub(super) async fn trip(&mut self, place: Place, trip: &TripRecord) -> Result<(), StoreError> {
        enter(self.tx, self.vehicle, place, trip, self.now.0).await
    }
}

async fn enter(
    tx: &mut SqliteConnection,
    vehicle: i64,
    place: Place,
    trip: &TripRecord,
    received: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO trips (vehicle, boot, lane, seq, starts) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(vehicle)
    .bind(place.boot)
    .bind(place.lane)
    .bind(place.seq)
    .bind(trip.from.wall.map_or(received, |wall| wall.0))
    .execute(tx)
    .await?;
    Ok(())
}

/// Enters what was stored by a program that did not know kind 15 yet.
pub(super) async fn index_stored(tx: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut pages = Pages::of(TRIP);
    loop {
        let page = pages.next(tx).await?;
        if page.is_empty() {
            return Ok(());
        }
        for Stored { vehicle, place, received, record } in page {
            if let Ok(Record::Trip(trip)) = record.parse() {
                enter(tx, vehicle, place, &trip, received).await?;
            }
        }
    }
}

impl Store {
    /// The trips of one vehicle that start in a range, all without one, the latest first; `None` for a vehicle that is
    /// not known.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Failed`].
    pub async fn trips(&self, vehicle: &str, asked: Asked) -> Result<Option<TripsReport>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM vehicles WHERE name = ?")
            .bind(vehicle)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id else { return Ok(None) };
        let (from, to) = asked.ends();
        let total: i64 =
            sqlx::query_scalar("SELECT count(*) FROM trips WHERE vehicle = ? AND starts >= ? AND starts < ?")
                .bind(id)
                .bind(from)
                .bind(to)
                .fetch_one(&mut *tx)
                .await?;
        let rows: Vec<(i64, i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT t.boot, t.seq, r.received, r.body FROM trips t JOIN records r USING (vehicle, boot, lane, seq) \
             WHERE t.vehicle = ? AND t.starts >= ? AND t.starts < ? \
             ORDER BY t.starts DESC, t.boot DESC, t.seq DESC LIMIT ?",
        )
        .bind(id)
        .bind(from)
        .bind(to)
        .bind(MAX_TRIPS as i64)
        .fetch_all(&mut *tx)
        .await?;
        let read = |(boot, seq, received, body): (i64, i64, i64, Vec<u8>)| {
            let origin = Origin { boot: BootId(boot.cast_unsigned()), seq: seq.cast_unsigned(), received };
            match (RawRecord { kind: TRIP, body }).parse() {
                Ok(Record::Trip(trip)) => Some(line(&trip, origin)),
                _ => None,
            }
        };
        let trips: Vec<TripLine> = rows.into_iter().filter_map(read).collect();
        Ok(Some(TripsReport { vehicle: vehicle.to_owned(), trips_total: total.cast_unsigned(), trips }))
    }
}

fn line(trip: &TripRecord, origin: Origin) -> TripLine {
    let why = |why: IndeterminateReason| why.as_str();
    let number = |value: f64| Some(value).filter(|value| value.is_finite());
    let energy = trip.energy.ok();
    let charge = trip.charge.ok();
    TripLine {
        from: when(trip.from, origin.received),
        to: when(trip.to, origin.received),
        boot: origin.boot.to_string(),
        end: trip.end.as_str(),
        duration_s: number(trip.duration_s()),
        distance_km: number(trip.distance_m / 1e3),
        moving_s: finite(trip.moving_s),
        standing_s: finite(trip.standing_s),
        unknown_s: finite(trip.unknown_s),
        stops: trip.stops,
        top_kmh: finite(trip.top_kmh),
        used_kwh: energy.and_then(|energy| finite(energy.used_wh / 1e3)),
        recuperated_kwh: energy.and_then(|energy| finite(energy.recuperated_wh / 1e3)),
        standing_kwh: energy.and_then(|energy| finite(energy.standing_wh / 1e3)),
        kwh_per_100_km: trip.kwh_per_100_km().and_then(number),
        energy_absent: trip.energy.err().map(why),
        charge_from: charge.and_then(|[from, _]| finite(from)),
        charge_to: charge.and_then(|[_, to]| finite(to)),
        charge_absent: trip.charge.err().map(why),
        ambient_c: trip.ambient_c.ok().and_then(finite),
        ambient_absent: trip.ambient_c.err().map(why),
        acceleration_known_s: finite(trip.acceleration.known_s),
        harsh_braking: trip.braking.count,
        braking_threshold: finite(trip.braking.threshold),
        harsh_acceleration: trip.acceleration.count,
        acceleration_threshold: finite(trip.acceleration.threshold),
    }
}
