//! What a vehicle was told lies ahead of it, and foretells its range with.

use crate::store::{Store, StoreError, lines};
use telltale_wire::command::CommandOutcome;
use telltale_wire::desired::{Ahead, Command, RawCommand};
use telltale_wire::time::WallTime;

/// The kind of the command ([`Command::kind`]).
const KIND: u16 = 9;

/// What lies ahead, as the vehicle acknowledged it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AheadLine {
    /// The command's id.
    pub command: i64,
    /// Such as `-5.0 °C, motorway`.
    pub what: String,
    /// Who said so.
    pub who: String,
    /// Until when it holds.
    pub until: String,
}

impl Store {
    /// What a vehicle foretells its range with at `now` by somebody's word; `None` where by its own trips.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ahead(&self, vehicle: &str, now: WallTime) -> Result<Option<AheadLine>, StoreError> {
        let row: Option<(i64, i64, Vec<u8>, String)> = sqlx::query_as(
            "SELECT id, expires, body, who FROM commands \
             WHERE vehicle = (SELECT id FROM vehicles WHERE name = ?) AND kind = ? AND outcome = ? \
             ORDER BY id DESC LIMIT 1",
        )
        .bind(vehicle)
        .bind(KIND)
        .bind(CommandOutcome::Done.as_str())
        .fetch_optional(&self.readers)
        .await?;
        let holds = |(id, expires, body, who): (i64, i64, Vec<u8>, String)| {
            let raw = RawCommand { id: id.unsigned_abs(), expires: WallTime(expires), kind: KIND, body };
            match raw.parse() {
                Ok(Command::Ahead(ahead)) if !ahead.is_nothing() && ahead.until > now => {
                    Some(line(id, &ahead, who))
                }
                _ => None,
            }
        };
        Ok(row.and_then(holds))
    }
}

fn line(command: i64, ahead: &Ahead, who: String) -> AheadLine {
    AheadLine { command, what: ahead.to_string(), who, until: lines::time(ahead.until.0) }
}
