//! Rollouts as pages, JSON and the command line give them.

use super::OtaError;
use super::audit::{self, AuditLine};
use super::members::{self, MemberLine, WaveLine};
use super::rollouts::{Row, find, rollout_sql};
use crate::rollout::sequential::Observations;
use crate::rollout::{Engine, Evidence, Metric, Phase, Plan};
use crate::store::{Store, StoreError, lines};
use serde::Serialize;
use sqlx::SqliteConnection;
use telltale_wire::time::WallTime;

/// The most rollouts that an answer tells.
const MAX_ROLLOUTS: i64 = 500;
/// The most points of a curve.
const POINTS: u64 = 40;

/// A rollout in a line.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RolloutLine {
    /// Its number.
    pub rollout: i64,
    /// The model, by the path of its index.
    pub model: String,
    /// The model's family.
    pub family: String,
    /// The model's version.
    pub version: String,
    /// The state.
    pub phase: Phase,
    /// The newest wave that has begun, from 1.
    pub wave: Option<usize>,
    /// How many waves the plan has.
    pub waves: usize,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub created: String,
    /// What it waits for; a decision and its reason where it does not run.
    pub why: String,
}

/// A rollout with everything.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RolloutReport {
    /// What it is.
    #[serde(flatten)]
    pub line: RolloutLine,
    /// Its plan, as a person wrote it.
    pub plan: Plan,
    /// One for each wave.
    pub progress: Vec<WaveLine>,
    /// What the tests say, one for each metric.
    pub tests: Vec<TestLine>,
    /// Every decision, the newest first.
    pub decisions: Vec<AuditLine>,
    /// The vehicles, what needs a look first.
    pub vehicles: Vec<MemberLine>,
}

/// A sequential test.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TestLine {
    /// What is observed.
    pub metric: Metric,
    /// How many observations there are since it began, or was last resumed.
    pub observations: u64,
    /// Their mean, where it lies at most and at least, as a share of updates, verdicts or runs.
    pub mean: f64,
    /// Below this the true share does not lie.
    pub lower: f64,
    /// Above this it does not lie.
    pub upper: f64,
    /// More than this, proven, pauses or stops.
    pub limit: f64,
    /// The chance that this test is ever wrong.
    pub error_rate: f64,
    /// `[observations, mean, lower, upper]`, for a curve.
    pub curve: Vec<[f64; 4]>,
}

impl Store {
    /// All rollouts, the newest first.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rollouts(&self, now: WallTime) -> Result<Vec<RolloutLine>, OtaError> {
        let mut tx = self.readers.begin().await?;
        let sql = rollout_sql!("ORDER BY r.id DESC LIMIT ?");
        let rows: Vec<Row> = sqlx::query_as(sql).bind(MAX_ROLLOUTS).fetch_all(&mut *tx).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let engine = row.engine()?;
            // Only what runs waits for something.
            let evidence = if engine.phase == Phase::Running {
                members::evidence(&mut tx, &row, &engine.plan, now).await?
            } else {
                Evidence::default()
            };
            let last = audit::of(&mut tx, &row.subject(), 1).await?.into_iter().next();
            all.push(line(&row, &engine, &evidence, last.as_ref(), now));
        }
        Ok(all)
    }

    /// One rollout with everything.
    ///
    /// # Errors
    /// [`OtaError::Refused`] if there is none.
    pub async fn rollout(&self, id: i64, now: WallTime) -> Result<RolloutReport, OtaError> {
        let mut tx = self.readers.begin().await?;
        let row = find(&mut tx, id).await?;
        let engine = row.engine()?;
        let evidence = members::evidence(&mut tx, &row, &engine.plan, now).await?;
        let decisions = audit::of(&mut tx, &row.subject(), audit::MAX_AUDIT).await?;
        let waves = (1..).zip(&evidence.waves);
        Ok(RolloutReport {
            line: line(&row, &engine, &evidence, decisions.first(), now),
            progress: waves.map(|(wave, tally)| WaveLine { wave, tally: *tally }).collect(),
            tests: tests(&mut tx, &row, &engine.plan).await?,
            decisions,
            vehicles: members::list(&mut tx, row.id, &engine.plan, now).await?,
            plan: engine.plan,
        })
    }
}

fn line(
    row: &Row,
    engine: &Engine,
    evidence: &Evidence,
    last: Option<&AuditLine>,
    now: WallTime,
) -> RolloutLine {
    let decided =
        || last.map_or_else(String::new, |last| format!("{} by {}: {}", last.act, last.who, last.why));
    RolloutLine {
        rollout: row.id,
        model: row.path.clone(),
        family: row.family.clone(),
        version: row.version.clone(),
        phase: engine.phase,
        wave: engine.wave.map(|wave| wave + 1),
        waves: engine.plan.waves.len(),
        author: row.author.clone(),
        created: lines::time(row.created),
        why: engine.waiting(evidence, now).map_or_else(decided, |waiting| waiting.to_string()),
    }
}

/// The tests as they stand, each with its curve over the observations.
async fn tests(tx: &mut SqliteConnection, row: &Row, plan: &Plan) -> Result<Vec<TestLine>, StoreError> {
    let gates = &plan.gates;
    let error_rate = gates.error_rate / Metric::ALL.len() as f64;
    let mut all = Vec::new();
    for metric in Metric::ALL {
        let values: Vec<f64> = sqlx::query_scalar(
            "SELECT value FROM observations WHERE rollout = ? AND metric = ? AND n > ? ORDER BY n LIMIT ?",
        )
        .bind(row.id)
        .bind(metric as i64)
        .bind(row.readings_from)
        .bind(members::MAX_OBSERVATIONS)
        .fetch_all(&mut *tx)
        .await?;
        let shown = |x: f64| if metric == Metric::ExcessFailure { 2.0 * x - 1.0 } else { x };
        let mut seen = Observations::default();
        let step = (values.len() as u64).div_ceil(POINTS).max(1);
        let mut curve = Vec::new();
        for value in &values {
            seen.push(*value);
            if seen.len().is_multiple_of(step) || seen.len() == values.len() as u64 {
                let at = seen.interval(error_rate);
                curve.push([seen.len() as f64, shown(at.mean), shown(at.lower), shown(at.upper)]);
            }
        }
        let now = seen.interval(error_rate);
        all.push(TestLine {
            metric,
            observations: seen.len(),
            mean: shown(now.mean),
            lower: shown(now.lower),
            upper: shown(now.upper),
            limit: match metric {
                Metric::Failure => gates.pause_above,
                Metric::Disagreement => gates.max_disagreement,
                Metric::ExcessFailure => gates.max_excess_failures,
            },
            error_rate,
            curve,
        });
    }
    Ok(all)
}
