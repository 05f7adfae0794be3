//! `telltale-cloud rollout` and `group`: how a model reaches the fleet, from the command line.

use super::person::{By, Db, print, print_json, table};
use crate::rollout::plan::{EXAMPLE, MAX_FILE};
use crate::rollout::{Person, Plan, Verb};
use crate::store::Store;
use crate::store::ota::{RolloutLine, RolloutReport};
use crate::sync::now;
use anyhow::{Context as _, Result, anyhow, ensure};
use clap::{Args, Subcommand};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use telltale_repository::Repository;
use telltale_repository::metadata::Target;
use telltale_wire::bundle::{BundleIndex, IndexPath};

#[derive(Debug, Subcommand)]
pub(super) enum RolloutCommand {
    /// Print a plan to begin from.
    Example,
    /// Write a rollout of an approved model. It begins nothing.
    #[command(after_help = "\
Example:
  telltale-cloud rollout example > plan.toml
  telltale-cloud rollout create --db fleet.db --by ann --model cell-fault/cell-fault-3.index --plan plan.toml
  telltale-cloud rollout approve --db fleet.db --by ben 1
  telltale-cloud rollout start --db fleet.db --by ann 1")]
    Create {
        #[command(flatten)]
        db: Db,
        #[command(flatten)]
        by: By,
        /// The path of the model's index: FAMILY/NAME-RELEASE.index.
        #[arg(long)]
        model: String,
        /// The plan, a TOML file.
        #[arg(long)]
        plan: PathBuf,
        /// The repository's folder: the model must be signed for there, for the hardware that its index names [default:
        /// the one that the server of this database serves].
        #[arg(long, value_name = "DIR")]
        repository: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Approve a rollout that another person wrote, or its next wave where that needs it.
    Approve(Asked),
    /// Begin.
    Start(Asked),
    /// Begin nothing more; vehicles that are under way go on.
    Pause(Asked),
    /// Go on after a pause. The failures and observations so far are excused, and count no more.
    Resume(Asked),
    /// End it. Who has not committed is offered the model no more; the plan says what becomes of the others.
    Stop(Asked),
    /// Begin the next wave though this one has not shown what it should. Approvals and freezes still hold.
    Advance(Asked),
    /// List the rollouts.
    List {
        #[command(flatten)]
        db: Db,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a rollout: waves, tests, decisions with their reasons, vehicles.
    Show {
        #[command(flatten)]
        db: Db,
        /// Its number.
        id: i64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Asked {
    #[command(flatten)]
    db: Db,
    #[command(flatten)]
    by: By,
    /// The rollout's number.
    id: i64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Put vehicles into a group. A rollout that has seen a vehicle already keeps it where it was.
    Add(Members),
    /// Take vehicles out of a group.
    Remove(Members),
    /// List the groups.
    List {
        #[command(flatten)]
        db: Db,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Members {
    #[command(flatten)]
    db: Db,
    /// The group.
    group: String,
    /// The vehicles.
    #[arg(required = true)]
    vehicles: Vec<String>,
}

impl RolloutCommand {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Example => print(EXAMPLE),
            Self::Create { db, by, model, plan, repository, json } => {
                let text = read(&plan)?;
                let plan = Plan::read(&text).with_context(|| format!("{}", plan.display()))?;
                let store = db.open().await?;
                // Where the server runs on another machine, its folder is not here.
                let known = store.repository().await?.filter(|folder| folder.is_dir());
                if let Some(repository) = repository.or(known) {
                    signed_for(&store, &repository, &model).await?;
                }
                let id = store.create_rollout(&model, &plan, &by.name(), &by.why, now()).await?;
                if json {
                    return print_json(&store.rollout(id, now()).await?.line);
                }
                print(&format!("rollout {id} of {model} in {} waves\n", plan.waves.len()))?;
                print(&format!("next: telltale-cloud rollout approve {id}, by a second person\n"))
            }
            Self::Approve(asked) => asked.run(Verb::Approve).await,
            Self::Start(asked) => asked.run(Verb::Start).await,
            Self::Pause(asked) => asked.run(Verb::Pause).await,
            Self::Resume(asked) => asked.run(Verb::Resume).await,
            Self::Stop(asked) => asked.run(Verb::Stop).await,
            Self::Advance(asked) => asked.run(Verb::Advance).await,
            Self::List { db, json } => {
                let rollouts = db.open().await?.rollouts(now()).await?;
                if json { print_json(&rollouts) } else { print(&list(&rollouts)) }
            }
            Self::Show { db, id, json } => {
                let report = db.open().await?.rollout(id, now()).await?;
                if json { print_json(&report) } else { print(&show(&report)) }
            }
        }
    }
}

/// Whether vehicles will find the model signed for: without that a rollout ends in refusals.
async fn signed_for(store: &Store, repository: &Path, model: &str) -> Result<()> {
    let path: IndexPath = model.parse().map_err(|_| anyhow!("{model} is no FAMILY/NAME-RELEASE.index"))?;
    let Some(body) = store.index(model).await? else { return Ok(()) };
    let index = BundleIndex::decode(&body).with_context(|| format!("the stored index of {model}"))?;
    let target = Repository::open(repository).proven_target(&path, now())?;
    let target = target.with_context(|| {
        format!(
            "{model} is not published in {}: `telltale-cloud repository add`, sign and publish it",
            repository.display()
        )
    })?;
    ensure!(
        target.length == body.len() as u64 && target.hashes == Target::of(&body, None).hashes,
        "{model} is published with other content than what was imported"
    );
    let custom = target
        .custom
        .with_context(|| format!("{model} is signed without hardware ids: no vehicle takes it"))?;
    let agrees = custom.hardware_ids == index.hardware
        && custom.release == index.release
        && custom.family == index.family;
    ensure!(
        agrees,
        "{model} is signed for {:?}, its index is for {:?}: no vehicle takes it",
        custom.hardware_ids,
        index.hardware
    );
    Ok(())
}

impl Asked {
    async fn run(self, verb: Verb) -> Result<()> {
        let store: Store = self.db.open().await?;
        let name = self.by.name();
        let person = Person { name: &name, why: &self.by.why };
        let decision = store.ask_rollout(self.id, verb, person, now()).await?;
        if self.json {
            return print_json(&decision);
        }
        let wave = decision.wave.map_or_else(String::new, |wave| format!(", wave {}", wave + 1));
        print(&format!("rollout {}: {}{wave}\n", self.id, decision.act.word()))
    }
}

impl GroupCommand {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Add(members) => members.set(true).await,
            Self::Remove(members) => members.set(false).await,
            Self::List { db, json } => {
                let groups = db.open().await?.groups().await?;
                if json {
                    return print_json(&groups);
                }
                let rows: Vec<_> = groups.into_iter().map(|(group, vehicle)| vec![group, vehicle]).collect();
                print(&table(&["group", "vehicle"], &rows))
            }
        }
    }
}

impl Members {
    async fn set(self, is_member: bool) -> Result<()> {
        self.db.open().await?.set_group(&self.group, &self.vehicles, is_member).await?;
        let verb = if is_member { "in" } else { "no longer in" };
        print(&format!("{} vehicles {verb} {}\n", self.vehicles.len(), self.group))
    }
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot read the plan {}", path.display()))?;
    file.take(MAX_FILE as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read the plan {}", path.display()))?;
    Ok(text)
}

fn wave_of(line: &RolloutLine) -> String {
    line.wave.map_or_else(|| format!("0/{}", line.waves), |wave| format!("{wave}/{}", line.waves))
}

fn list(rollouts: &[RolloutLine]) -> String {
    let row = |line: &RolloutLine| {
        let phase = line.phase.word().to_owned();
        vec![
            line.rollout.to_string(),
            line.model.clone(),
            phase,
            wave_of(line),
            line.author.clone(),
            line.why.clone(),
        ]
    };
    table(
        &["rollout", "model", "phase", "wave", "author", "why"],
        &rollouts.iter().map(row).collect::<Vec<_>>(),
    )
}

fn show(report: &RolloutReport) -> String {
    let line = &report.line;
    let (phase, wave) = (line.phase.word(), wave_of(line));
    let mut text =
        format!("rollout {} of {}: {phase}, wave {wave}\n  {}\n\n", line.rollout, line.model, line.why);
    let rows: Vec<_> = report
        .progress
        .iter()
        .map(|wave| {
            let tally = &wave.tally;
            [
                wave.wave as u64,
                tally.size,
                tally.waiting,
                tally.under_way,
                tally.committed,
                tally.failed,
                tally.lost,
                tally.passed_over,
                tally.absent,
            ]
            .map(|number| number.to_string())
            .to_vec()
        })
        .collect();
    text += &table(
        &["wave", "vehicles", "waiting", "under way", "committed", "failed", "lost", "passed over", "absent"],
        &rows,
    );
    text.push('\n');
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let rows: Vec<_> = report
        .tests
        .iter()
        .map(|test| {
            let between = format!("{} to {}", percent(test.lower), percent(test.upper));
            let observations = test.observations.to_string();
            vec![
                test.metric.word().to_owned(),
                observations,
                percent(test.mean),
                between,
                percent(test.limit),
            ]
        })
        .collect();
    text += &table(&["test", "observations", "mean", "lies in", "limit"], &rows);
    text.push('\n');
    for decision in &report.decisions {
        let wave = decision.wave.map_or_else(String::new, |wave| format!(" {wave}"));
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{} {}{wave} by {}: {}", decision.at, decision.act, decision.who, decision.why);
    }
    text
}
