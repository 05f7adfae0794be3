//! A rollout's state, and what changes it: what people ask for, and what the evidence says.

use super::evidence::Evidence;
use super::freeze::frozen_until;
use super::judge::{Look, Waiting};
use super::plan::Plan;
use serde::Serialize;
use telltale_wire::time::WallTime;

/// Who decides where no person does.
pub const ENGINE: &str = "the rollout engine";

/// What state a rollout is in. The numbers are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// Written, and not approved.
    Draft = 0,
    /// A second person agrees.
    Approved = 1,
    /// Waves begin as the evidence allows.
    Running = 2,
    /// Nothing begins; vehicles that are under way go on.
    Paused = 3,
    /// It is over, and whoever has not committed is offered it no more.
    Stopped = 4,
    /// Everyone who came has it; who comes later gets it, too.
    Completed = 5,
}

impl Phase {
    /// All of them, by number.
    pub const ALL: [Phase; 6] =
        [Self::Draft, Self::Approved, Self::Running, Self::Paused, Self::Stopped, Self::Completed];

    /// The phase of a stored number.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| i64::from(*phase as u8) == number)
    }

    /// The word for a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
        }
    }
}

/// What a person asks of a rollout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Agree with the plan, or with the next wave where that needs it.
    Approve,
    /// Begin.
    Start,
    /// Begin nothing more.
    Pause,
    /// Go on. The failures and observations so far are excused.
    Resume,
    /// End it.
    Stop,
    /// Begin the next wave though this one has not shown what it should.
    Advance,
}

/// Who asks, and why.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// The name.
    pub name: &'a str,
    /// The reason; may be empty for an approval and a start.
    pub why: &'a str,
}

/// What was decided. The words are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A second person agrees with the plan.
    Approved,
    /// A second person agrees with a wave.
    WaveApproved,
    /// It runs.
    Started,
    /// A wave begins.
    Released,
    /// It is paused.
    Paused,
    /// It runs again.
    Resumed,
    /// It is stopped.
    Stopped,
    /// It is done.
    Completed,
}

impl Act {
    /// The word for a person, and for the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::WaveApproved => "wave approved",
            Self::Started => "started",
            Self::Released => "wave released",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
        }
    }
}

/// One decision, as the audit keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Decision {
    /// What.
    pub act: Act,
    /// The wave that it is about, from 0.
    pub wave: Option<usize>,
    /// Who: a person, or [`ENGINE`].
    pub who: String,
    /// Why.
    pub why: String,
}

/// Why something is not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The phase does not allow it.
    #[error("the rollout is {}: it can't be {asked}", .phase.word())]
    Phase {
        /// The phase it is in.
        phase: Phase,
        /// What was asked, as a participle.
        asked: &'static str,
    },
    /// The author approves.
    #[error("{0} wrote this and can't approve it: a second person must")]
    OwnWork(String),
    /// No name.
    #[error("say who you are: --by NAME, or TELLTALE_USER in the environment")]
    Nobody,
    /// No reason.
    #[error("say why: --why TEXT is kept with the decision")]
    NoReason,
    /// Nothing to approve.
    #[error("nothing waits for an approval")]
    NothingToApprove,
    /// No further wave.
    #[error("there is no further wave")]
    LastWave,
    /// The wave needs an approval that is missing.
    #[error("wave {} needs a second person's approval first", .0 + 1)]
    WaveApproval(usize),
    /// A freeze window.
    #[error("nothing may begin before {0}: a freeze window of the plan")]
    Frozen(WallTime),
}

/// What was approved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Approval {
    /// The plan.
    Plan,
    /// This wave.
    Wave(usize),
}

/// A rollout: its plan, and how far it has come.
#[derive(Clone, PartialEq, Debug)]
pub struct Engine {
    /// The plan.
    pub plan: Plan,
    /// Who wrote it.
    pub author: String,
    /// The state.
    pub phase: Phase,
    /// The newest wave that has begun, from 0.
    pub wave: Option<usize>,
    /// Since when the newest wave shows what it should.
    pub met_since: Option<WallTime>,
    /// The highest wave that was approved by itself.
    pub approved_wave: Option<usize>,
    /// Failures of the newest wave, and of all, that a person excused when it was resumed.
    pub excused: (u64, u64),
}

impl Engine {
    /// A rollout that nobody has approved.
    #[must_use]
    pub fn new(plan: Plan, author: impl Into<String>) -> Self {
        Self {
            plan,
            author: author.into(),
            phase: Phase::Draft,
            wave: None,
            met_since: None,
            approved_wave: None,
            excused: (0, 0),
        }
    }

    /// Does what a person asks.
    ///
    /// # Errors
    /// Every [`Refused`], and then nothing has changed.
    pub fn ask(
        &mut self,
        verb: Verb,
        person: Person<'_>,
        evidence: &Evidence,
        now: WallTime,
    ) -> Result<Decision, Refused> {
        let name = person.name.trim();
        if name.is_empty() {
            return Err(Refused::Nobody);
        }
        let needs_reason = !matches!(verb, Verb::Approve | Verb::Start);
        if needs_reason && person.why.trim().is_empty() {
            return Err(Refused::NoReason);
        }
        let (act, wave) = match verb {
            Verb::Approve => self.approve(name)?,
            Verb::Start => (self.turn(&[Phase::Approved], Phase::Running, "started", Act::Started)?, None),
            Verb::Pause => (self.turn(&[Phase::Running], Phase::Paused, "paused", Act::Paused)?, self.wave),
            Verb::Resume => {
                let act = self.turn(&[Phase::Paused], Phase::Running, "resumed", Act::Resumed)?;
                let wave = self.wave.unwrap_or(0);
                self.excused = (evidence.wave(wave).faults(), evidence.through(wave).faults());
                (act, self.wave)
            }
            Verb::Stop => {
                let from: Vec<Phase> =
                    Phase::ALL.into_iter().filter(|phase| *phase != Phase::Stopped).collect();
                (self.turn(&from, Phase::Stopped, "stopped", Act::Stopped)?, self.wave)
            }
            Verb::Advance => (Act::Released, Some(self.advance(now)?)),
        };
        Ok(Decision { act, wave, who: name.to_owned(), why: person.why.trim().to_owned() })
    }

    /// Takes the next decision that the evidence asks for, if there is one. The caller carries it out, counts again, and
    /// asks again. Asking twice does nothing twice.
    pub fn tick(&mut self, evidence: &Evidence, now: WallTime) -> Option<Decision> {
        match self.phase {
            Phase::Running => {}
            // Vehicles that were under way go on: what they tell may turn a pause into a stop.
            Phase::Paused => return self.escalate(evidence),
            Phase::Draft | Phase::Approved | Phase::Stopped | Phase::Completed => return None,
        }
        self.met_since = match self.wave {
            Some(wave) if self.is_met(wave, evidence) => self.met_since.or(Some(now)),
            _ => None,
        };
        let (act, wave, why) = match self.look(evidence, now) {
            Look::Wait(_) => return None,
            Look::Halt(phase, why) => {
                self.phase = phase;
                (if phase == Phase::Stopped { Act::Stopped } else { Act::Paused }, self.wave, why)
            }
            Look::Release(wave, why) => {
                self.begin(wave);
                (Act::Released, Some(wave), why)
            }
            Look::Complete(why) => {
                self.phase = Phase::Completed;
                (Act::Completed, self.wave, why)
            }
        };
        Some(Decision { act, wave, who: ENGINE.to_owned(), why })
    }

    fn escalate(&mut self, evidence: &Evidence) -> Option<Decision> {
        let Look::Halt(Phase::Stopped, why) = self.danger(self.wave?, evidence)? else { return None };
        self.phase = Phase::Stopped;
        Some(Decision { act: Act::Stopped, wave: self.wave, who: ENGINE.to_owned(), why })
    }

    /// What the rollout waits for; `None` while it does not run, or is about to decide.
    #[must_use]
    pub fn waiting(&self, evidence: &Evidence, now: WallTime) -> Option<Waiting> {
        if self.phase != Phase::Running {
            return None;
        }
        match self.look(evidence, now) {
            Look::Wait(waiting) => Some(waiting),
            Look::Halt(..) | Look::Release(..) | Look::Complete(_) => None,
        }
    }

    fn turn(&mut self, from: &[Phase], to: Phase, asked: &'static str, act: Act) -> Result<Act, Refused> {
        if !from.contains(&self.phase) {
            return Err(Refused::Phase { phase: self.phase, asked });
        }
        self.phase = to;
        Ok(act)
    }

    fn approve(&mut self, name: &str) -> Result<(Act, Option<usize>), Refused> {
        let approval = self.missing_approval().ok_or(Refused::NothingToApprove)?;
        if is_same_person(name, &self.author) {
            return Err(Refused::OwnWork(self.author.clone()));
        }
        Ok(match approval {
            Approval::Plan => {
                self.phase = Phase::Approved;
                (Act::Approved, None)
            }
            Approval::Wave(wave) => {
                self.approved_wave = Some(wave);
                (Act::WaveApproved, Some(wave))
            }
        })
    }

    /// What a second person could approve now.
    #[must_use]
    pub fn missing_approval(&self) -> Option<Approval> {
        match self.phase {
            Phase::Draft => Some(Approval::Plan),
            Phase::Running | Phase::Paused => {
                let next = self.wave.map_or(0, |wave| wave + 1);
                self.lacks_approval(next).then_some(Approval::Wave(next))
            }
            Phase::Approved | Phase::Stopped | Phase::Completed => None,
        }
    }

    /// Whether a wave may not begin for want of an approval. Who approves the plan approves its first wave.
    pub(super) fn lacks_approval(&self, wave: usize) -> bool {
        let asked = self.plan.waves.get(wave).is_some_and(|wave| wave.approval);
        asked && wave > 0 && self.approved_wave.is_none_or(|approved| approved < wave)
    }

    fn advance(&mut self, now: WallTime) -> Result<usize, Refused> {
        if self.phase != Phase::Running {
            return Err(Refused::Phase { phase: self.phase, asked: "advanced" });
        }
        let next = self.wave.map_or(0, |wave| wave + 1);
        if next >= self.plan.waves.len() {
            return Err(Refused::LastWave);
        }
        if self.lacks_approval(next) {
            return Err(Refused::WaveApproval(next));
        }
        if let Some(until) = frozen_until(&self.plan.freezes, now) {
            return Err(Refused::Frozen(until));
        }
        self.begin(next);
        Ok(next)
    }

    fn begin(&mut self, wave: usize) {
        self.wave = Some(wave);
        self.met_since = None;
        self.excused.0 = 0;
    }
}

/// Whether two names are one person's: however they are written, as far as a program can tell.
#[must_use]
pub fn is_same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
