//! The machine of one family: events in; what to persist, and what to do after that, out.

use super::policy::{Before, Policy};
use super::state::{Bad, Kept, MAX_BAD, Place, Progress, Release, Slot, State, Update};
use crate::pipeline::Comparison;
use telltale_wire::digest::Digest;
use telltale_wire::update::{UpdateReason, UpdateStep};

/// Why something went wrong with a candidate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What kind of failure.
    pub reason: UpdateReason,
    /// A sentence for a person.
    pub why: String,
}

/// What the shell tells the machine.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Verified metadata offers a release, and its verified index says whether it fits this vehicle.
    Offered(Release, Result<(), Failure>),
    /// Verified metadata offers nothing of this family any more.
    Withdrawn,
    /// The index is in the slot, durable.
    Prepared,
    /// All chunks are held, verified and durable.
    Fetched,
    /// The candidate passed its self-test.
    Tested,
    /// The candidate can't go on: not fetched, not verified, not loadable, or it failed its self-test.
    Failed(Failure),
    /// How the candidate does beside the model before, since this start of the agent entered the stage.
    Compared(Comparison),
    /// What should be active can't be loaded.
    Unusable(Place, Failure),
    /// The agent ends in good order.
    Stopping,
    /// Somebody asks for the model before; with a number only if that release is the one that speaks.
    RollBack(Option<u32>),
    /// Somebody wants the family to stay where it is, or to follow again.
    Pin(bool),
    /// Somebody wants a release deleted, and no longer held to be bad.
    Forget(u32),
}

/// What the shell does once the step is durable. All of it may be done again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Write the offered index into the update's slot; then [`Event::Prepared`].
    Prepare,
    /// Fetch the chunks that are missing; then [`Event::Fetched`].
    Fetch,
    /// Run the golden vectors; then [`Event::Tested`] or [`Event::Failed`].
    SelfTest,
    /// Let run what [`Family::arrangement`] says.
    Arrange,
    /// Record how the candidate did so far.
    Report,
    /// Record that a step was taken.
    Tell(Told),
    /// Delete what [`Kept::needed`] does not name.
    Sweep,
}

/// A step for the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// What it is about; `None` for the configured model.
    pub release: Option<Release>,
    /// The step.
    pub step: UpdateStep,
    /// Its reason.
    pub reason: Option<UpdateReason>,
    /// A sentence for a person; empty where the step says all.
    pub why: String,
}

/// What is to be persisted, and what is to be done after that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Durable before anything of `effects` is done.
    pub kept: Kept,
    /// In this order.
    pub effects: Vec<Effect>,
}

/// What should run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrangement {
    /// The model whose verdicts count.
    pub speaks: Place,
    /// A model on the same windows whose verdicts are only compared.
    pub beside: Option<Place>,
}

/// What somebody asked for can't be done: a sentence.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Declined(pub String);

/// What an offer is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// It is to be taken: its index is worth fetching.
    Take,
    /// It is the update under way.
    Continue,
    /// Nothing is to be done about it.
    Settled,
    /// It is not taken.
    Refuse(UpdateReason),
}

/// The updates of one family.
#[derive(Clone, Debug)]
pub struct Family {
    kept: Kept,
    policy: Policy,
    /// An attempt of the state under way was counted in this start of the agent.
    is_counted: bool,
    /// What earlier starts contributed to the stage under way.
    before: Progress,
    /// The offer that was dealt with last in this start.
    settled: Option<Digest>,
}

impl Family {
    /// A family as it was kept. Until [`Family::start`] has been persisted no candidate runs.
    #[must_use]
    pub const fn new(kept: Kept, policy: Policy) -> Family {
        let before = Progress { windows: 0, compared: 0, differ: 0, ran_s: 0 };
        Family { kept, policy, is_counted: false, before, settled: None }
    }

    /// What is kept.
    #[must_use]
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Other thresholds from now on.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// What should run now. A candidate is among it only after its attempt was counted.
    #[must_use]
    pub fn arrangement(&self) -> Arrangement {
        let active = self.kept.active;
        match self.kept.open().filter(|_| self.is_counted) {
            Some(Update { state: State::Shadow, slot, .. }) => {
                Arrangement { speaks: active, beside: Some(Place::Slot(*slot)) }
            }
            Some(Update { state: State::Trial, slot, .. }) => {
                let beside = (!self.is_alone()).then_some(active);
                Arrangement { speaks: Place::Slot(*slot), beside }
            }
            _ => Arrangement { speaks: active, beside: None },
        }
    }

    /// Whether a candidate has nothing beside which it could run: it goes on trial right after its self-test.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        match self.policy.before {
            Before::Model => false,
            Before::Release => self.kept.active == Place::Factory,
            Before::Setting => true,
        }
    }

    /// How far the stage under way has come, and how far it has to.
    #[must_use]
    pub fn progress(&self) -> Option<(Progress, super::Stage)> {
        let update = self.kept.open()?;
        Some((update.progress, self.stage(update.state)?))
    }

    const fn stage(&self, state: State) -> Option<super::Stage> {
        match state {
            State::Shadow => Some(self.policy.shadow),
            State::Trial => Some(self.policy.trial),
            _ => None,
        }
    }

    /// What an offer is worth, before its index is fetched.
    #[must_use]
    pub fn consider(&self, number: u32, bundle: &Digest) -> Interest {
        if let Some(open) = self.kept.open() {
            match (open.release.bundle == *bundle, open.state) {
                (true, State::Offered | State::Downloading) => return Interest::Continue,
                (true, _) => return Interest::Settled,
                (false, State::Trial) => return Interest::Refuse(UpdateReason::Unconfirmed),
                (false, _) => {}
            }
        }
        let active = self.kept.active_release();
        if active.is_some_and(|release| release.bundle == *bundle) || self.settled == Some(*bundle) {
            return Interest::Settled;
        }
        if self.kept.is_pinned {
            return Interest::Refuse(UpdateReason::Pinned);
        }
        if self.kept.bad.iter().any(|bad| bad.bundle == *bundle) {
            return Interest::Refuse(UpdateReason::KnownBad);
        }
        let floor = self.kept.floor;
        let at_floor = active.is_some_and(|release| release.number == floor);
        if number < floor || (number == floor && at_floor) {
            return Interest::Refuse(UpdateReason::NotNewer);
        }
        Interest::Take
    }

    /// What the agent's start asks for: an attempt counted before a candidate runs again, or the way back.
    #[must_use]
    pub fn start(&self) -> Option<Step> {
        let open = self.kept.open()?;
        if self.is_counted || !open.state.executes() {
            return self.proceed();
        }
        if open.attempts >= self.policy.attempts {
            let why = format!("the agent ended {} times in this state", open.attempts);
            return self.fail(Failure { reason: UpdateReason::AttemptsUsed, why });
        }
        let mut kept = self.kept.clone();
        let update = kept.update.as_mut()?;
        update.attempts += 1;
        let effect = if update.state == State::Staged { Effect::SelfTest } else { Effect::Arrange };
        Some(Step { kept, effects: vec![effect] })
    }

    /// What follows by itself from where the update stands.
    #[must_use]
    pub fn proceed(&self) -> Option<Step> {
        match self.kept.open()?.state {
            State::SelfTested if self.is_alone() => self.enter(State::Trial, [], [Effect::Arrange]),
            State::SelfTested => self.enter(State::Shadow, [], [Effect::Arrange]),
            _ => None,
        }
    }

    /// Takes an event. Until the step has been persisted and [taken](Family::take) nothing has changed.
    ///
    /// # Errors
    /// [`Declined`], for what somebody asked.
    pub fn handle(&self, event: Event) -> Result<Option<Step>, Declined> {
        let state = self.kept.open().map(|update| update.state);
        Ok(match (event, state) {
            (Event::Offered(release, fits), _) => self.offered(release, fits),
            (Event::Withdrawn, Some(State::Trial) | None) => None,
            (Event::Withdrawn, Some(_)) => {
                let why = "the cloud no longer offers it".to_owned();
                self.fail(Failure { reason: UpdateReason::Withdrawn, why })
            }
            (Event::Prepared, Some(State::Offered)) => self.enter(State::Downloading, [], [Effect::Fetch]),
            // The agent has started again, and has the index.
            (Event::Prepared, Some(State::Downloading)) => {
                Some(Step { kept: self.kept.clone(), effects: vec![Effect::Fetch] })
            }
            (Event::Fetched, Some(State::Downloading)) => self.staged(),
            (Event::Tested, Some(State::Staged)) => self.enter(State::SelfTested, [], []),
            (Event::Failed(failure), Some(_)) => self.fail(failure),
            (Event::Compared(comparison), Some(state)) => self.compared(state, &comparison),
            (Event::Unusable(place, failure), _) => self.unusable(place, failure),
            (Event::Stopping, Some(_)) if self.is_counted => self.stopping(),
            (Event::RollBack(only), _) => Some(self.roll_back(only)?),
            (Event::Pin(pin), state) => self.pin(pin, state)?,
            (Event::Forget(number), _) => Some(self.forget(number)?),
            // News of a state that is over, or of an attempt that nothing came of.
            (
                Event::Prepared
                | Event::Fetched
                | Event::Tested
                | Event::Failed(_)
                | Event::Compared(_)
                | Event::Stopping,
                _,
            ) => None,
        })
    }

    /// The step is durable: it holds from now on. Gives what is to be done.
    pub fn take(&mut self, step: Step) -> Vec<Effect> {
        let of = |kept: &Kept| kept.update.as_ref().map(|u| (u.release.bundle, u.state, u.attempts));
        let (was, is) = (of(&self.kept), of(&step.kept));
        if was != is {
            // A stage that begins, or begins again, was counted in its own step; another has nothing to count.
            self.is_counted = step.kept.open().is_some_and(|update| update.state.executes());
            self.before = step.kept.open().map_or(Progress::default(), |update| update.progress);
        }
        let forgets =
            |effect: &Effect| matches!(effect, Effect::Tell(told) if told.step == UpdateStep::Forgotten);
        if self.kept.active != step.kept.active || step.effects.iter().any(forgets) {
            // What was lost on the disk may come again, and so may what was forgotten.
            self.settled = None;
        } else if let Some(ended) = step.kept.update.as_ref().filter(|update| !update.state.is_open()) {
            self.settled = Some(ended.release.bundle);
        }
        self.kept = step.kept;
        step.effects
    }

    /// An offer is dealt with in this start, though nothing came of it.
    pub const fn settle(&mut self, bundle: Digest) {
        self.settled = Some(bundle);
    }

    fn offered(&self, release: Release, fits: Result<(), Failure>) -> Option<Step> {
        match self.consider(release.number, &release.bundle) {
            Interest::Settled => return None,
            // The index may have been lost on the way to the slot.
            Interest::Continue if fits.is_ok() => {
                return Some(Step { kept: self.kept.clone(), effects: vec![Effect::Prepare] });
            }
            Interest::Refuse(reason) => {
                let told = told(Some(release), UpdateStep::Refused, Some(reason), "");
                return Some(Step { kept: self.kept.clone(), effects: vec![told] });
            }
            Interest::Continue | Interest::Take => {}
        }
        let mut kept = self.kept.clone();
        let slot = match kept.active {
            Place::Slot(slot) => slot.other(),
            Place::Factory => kept.open().map_or(Slot::A, |update| update.slot),
        };
        *kept.slot_mut(slot) = None;
        let (state, effects) = match fits {
            Ok(()) => {
                let told = told(Some(release.clone()), UpdateStep::Offered, None, "");
                // What ran beside, if another release was in shadow, ends here.
                (State::Offered, vec![Effect::Arrange, told, Effect::Prepare])
            }
            Err(Failure { reason, why }) => {
                let told = told(Some(release.clone()), UpdateStep::Refused, Some(reason), &why);
                (State::Refused(reason), vec![Effect::Arrange, told, Effect::Sweep])
            }
        };
        let again = kept.update.as_ref().is_some_and(|u| u.release == release && u.state == state);
        let effects = if again { Vec::new() } else { effects };
        kept.update = Some(Update { release, slot, state, attempts: 0, progress: Progress::default() });
        Some(Step { kept, effects })
    }

    fn staged(&self) -> Option<Step> {
        let mut step = self.enter(State::Staged, [], [Effect::SelfTest])?;
        let update = step.kept.update.as_ref()?;
        let (slot, release) = (update.slot, update.release.clone());
        *step.kept.slot_mut(slot) = Some(release);
        Some(step)
    }

    /// The next state of the update under way. Where its code runs, the first attempt is counted with it.
    fn enter<const N: usize, const M: usize>(
        &self,
        state: State,
        first: [Effect; N],
        then: [Effect; M],
    ) -> Option<Step> {
        let mut kept = self.kept.clone();
        let update = kept.update.as_mut()?;
        update.state = state;
        update.attempts = u8::from(state.executes());
        update.progress = Progress::default();
        let (step, reason) = state.step();
        let told = told(Some(update.release.clone()), step, reason, "");
        let effects = first.into_iter().chain([told]).chain(then).collect();
        Some(Step { kept, effects })
    }

    /// The candidate is given up.
    fn fail(&self, failure: Failure) -> Option<Step> {
        let mut kept = self.kept.clone();
        let Failure { reason, why } = failure;
        let update = kept.update.as_mut()?;
        let was = update.state;
        update.state = if was == State::Trial { State::RolledBack(reason) } else { State::Refused(reason) };
        let (release, slot, state) = (update.release.clone(), update.slot, update.state);
        *kept.slot_mut(slot) = None;
        if is_its_fault(reason) {
            remember(&mut kept.bad, Bad { number: release.number, bundle: release.bundle, reason });
        }
        let (step, reason) = state.step();
        let mut effects = Vec::new();
        if matches!(was, State::Shadow | State::Trial) {
            effects.extend([Effect::Arrange, Effect::Report]);
        }
        effects.extend([told(Some(release), step, reason, &why), Effect::Sweep]);
        Some(Step { kept, effects })
    }

    fn compared(&self, state: State, comparison: &Comparison) -> Option<Step> {
        let stage = self.stage(state).filter(|_| self.is_counted)?;
        let now = Progress {
            windows: comparison.windows,
            compared: comparison.compared,
            differ: comparison.disagreements.total(),
            ran_s: comparison.ran.as_secs(),
        };
        let total = self.before.plus(now);
        if let Some(failure) = self.policy.breach(comparison, total, stage) {
            return self.fail(failure);
        }
        if stage.is_over(total) {
            return match state {
                State::Shadow => self.enter(State::Trial, [Effect::Report], [Effect::Arrange]),
                _ => self.commit(),
            };
        }
        let mut kept = self.kept.clone();
        let update = kept.update.as_mut()?;
        let unsaved = total.ran_s.saturating_sub(update.progress.ran_s);
        update.progress = total;
        (unsaved >= self.policy.checkpoint.as_secs()).then(|| Step { kept, effects: vec![Effect::Report] })
    }

    /// Mark-good: the candidate is the last known good model from now on.
    fn commit(&self) -> Option<Step> {
        let mut step = self.enter(State::Committed, [Effect::Report], [Effect::Arrange, Effect::Sweep])?;
        let update = step.kept.update.as_ref()?;
        let floor = update.release.number;
        step.kept.active = Place::Slot(update.slot);
        step.kept.floor = step.kept.floor.max(floor);
        step.kept.bad.retain(|bad| bad.number >= floor);
        Some(step)
    }

    /// What was active is lost: the best that is left takes over.
    fn unusable(&self, place: Place, failure: Failure) -> Option<Step> {
        let Place::Slot(slot) = place else { return None };
        if self.kept.open().is_some_and(|update| update.slot == slot) {
            return self.fail(failure);
        }
        let lost = self.kept.slot(slot).cloned()?;
        let mut kept = self.kept.clone();
        *kept.slot_mut(slot) = None;
        if kept.active == place {
            kept.active = self.fallback(slot);
        }
        let reason = Some(failure.reason);
        let told = told(Some(lost), UpdateStep::RolledBack, reason, &failure.why);
        Some(Step { kept, effects: vec![Effect::Arrange, told, Effect::Sweep] })
    }

    /// What speaks when this slot is not to: the other one, unless an update is on its way through it.
    fn fallback(&self, slot: Slot) -> Place {
        let other = slot.other();
        let is_whole = self.kept.slot(other).is_some();
        let is_candidate = self.kept.open().is_some_and(|update| update.slot == other);
        if is_whole && !is_candidate { Place::Slot(other) } else { Place::Factory }
    }

    /// An end in good order is no attempt.
    fn stopping(&self) -> Option<Step> {
        let mut kept = self.kept.clone();
        let update = kept.update.as_mut()?;
        update.attempts = update.attempts.saturating_sub(1);
        Some(Step { kept, effects: Vec::new() })
    }

    /// Goes back from what speaks, or gives up an update that does not speak yet if that is the one that is named.
    fn roll_back(&self, only: Option<u32>) -> Result<Step, Declined> {
        let failure = || Failure { reason: UpdateReason::Asked, why: String::new() };
        let open = self.kept.open();
        let given_up = open.filter(|open| match (open.state, only) {
            (State::Trial, _) => true,
            (_, Some(number)) => number == open.release.number,
            (_, None) => self.kept.active == Place::Factory,
        });
        let speaks = given_up.map(|open| &open.release).or(self.kept.active_release());
        let Some(speaks) = speaks else {
            return Err(Declined(
                "the configured model is the one that runs: there is none before it".into(),
            ));
        };
        if let Some(number) = only.filter(|number| *number != speaks.number) {
            return Err(Declined(format!("release {number} is not what runs: {speaks} is")));
        }
        if given_up.is_some() {
            return self.fail(failure()).ok_or_else(|| Declined("there is no update to give up".into()));
        }
        let Place::Slot(slot) = self.kept.active else {
            return Err(Declined(
                "the configured model is the one that runs: there is none before it".into(),
            ));
        };
        let (mut kept, left) = (self.kept.clone(), speaks.clone());
        kept.active = self.fallback(slot);
        *kept.slot_mut(slot) = None;
        let reason = UpdateReason::Asked;
        remember(&mut kept.bad, Bad { number: left.number, bundle: left.bundle, reason });
        if open.is_none() {
            let (state, progress) = (State::RolledBack(reason), Progress::default());
            kept.update = Some(Update { release: left.clone(), slot, state, attempts: 0, progress });
        }
        let told = told(Some(left), UpdateStep::RolledBack, Some(reason), "");
        Ok(Step { kept, effects: vec![Effect::Arrange, told, Effect::Sweep] })
    }

    fn pin(&self, pin: bool, state: Option<State>) -> Result<Option<Step>, Declined> {
        if pin == self.kept.is_pinned {
            return Ok(None);
        }
        if pin && state == Some(State::Trial) {
            let why = "a release is on trial: wait until it is committed, or roll it back";
            return Err(Declined(why.into()));
        }
        let given_up = if pin && state.is_some() {
            let why = "the family was pinned".to_owned();
            self.fail(Failure { reason: UpdateReason::Pinned, why })
        } else {
            None
        };
        let mut step = given_up.unwrap_or_else(|| Step { kept: self.kept.clone(), effects: Vec::new() });
        step.kept.is_pinned = pin;
        let active = self.kept.active_release().cloned();
        let how = if pin { UpdateStep::Pinned } else { UpdateStep::Unpinned };
        step.effects.push(told(active, how, None, ""));
        Ok(Some(step))
    }

    fn forget(&self, number: u32) -> Result<Step, Declined> {
        if self.kept.open().is_some_and(|update| update.release.number == number) {
            return Err(Declined(format!("release {number} is under way: roll it back first")));
        }
        if self.kept.active_release().is_some_and(|release| release.number == number) {
            return Err(Declined(format!("release {number} is the one that runs: roll it back first")));
        }
        let mut kept = self.kept.clone();
        let mut known = None;
        for slot in kept.slots.iter_mut().filter(|slot| slot.as_ref().is_some_and(|r| r.number == number)) {
            known = slot.take();
        }
        let ended = kept.update.take_if(|update| update.release.number == number);
        let known = known.or(ended.map(|update| update.release));
        let bad = kept.bad.iter().find(|bad| bad.number == number).copied();
        kept.bad.retain(|bad| bad.number != number);
        let named = |bad: Bad| Release { number, version: String::new(), bundle: bad.bundle };
        let Some(release) = known.or(bad.map(named)) else {
            return Err(Declined(format!("nothing is known of a release {number}")));
        };
        let told = told(Some(release), UpdateStep::Forgotten, None, "");
        Ok(Step { kept, effects: vec![told, Effect::Sweep] })
    }
}

fn told(release: Option<Release>, step: UpdateStep, reason: Option<UpdateReason>, why: &str) -> Effect {
    Effect::Tell(Told { release, step, reason, why: why.to_owned() })
}

fn remember(bad: &mut Vec<Bad>, new: Bad) {
    bad.retain(|bad| bad.bundle != new.bundle);
    if bad.len() >= MAX_BAD {
        bad.remove(0);
    }
    bad.push(new);
}

/// Whether a release that failed so would fail again here.
const fn is_its_fault(reason: UpdateReason) -> bool {
    match reason {
        UpdateReason::NotLoadable
        | UpdateReason::GoldenDiffers
        | UpdateReason::TooSlow
        | UpdateReason::TooLarge
        | UpdateReason::NoOutput
        | UpdateReason::NotFinite
        | UpdateReason::Disagrees
        | UpdateReason::AttemptsUsed
        | UpdateReason::NotOpened
        | UpdateReason::Asked => true,
        // The vehicle's, the line's, the disk's or nobody's.
        UpdateReason::OtherHardware
        | UpdateReason::AgentTooOld
        | UpdateReason::OtherFeatures
        | UpdateReason::CatalogLacks
        | UpdateReason::NotNewer
        | UpdateReason::KnownBad
        | UpdateReason::Pinned
        | UpdateReason::Unconfirmed
        | UpdateReason::NotVerified
        | UpdateReason::NotFetched
        | UpdateReason::NoSpace
        | UpdateReason::Damaged
        | UpdateReason::Withdrawn
        | UpdateReason::NotConfigured
        | UpdateReason::NotSealed
        | UpdateReason::NoSealingKey
        | UpdateReason::NoContentKey
        | UpdateReason::OtherSealingKey
        | UpdateReason::WrongContentKey => false,
    }
}
