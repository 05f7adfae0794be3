//! The door between the capture loop and a model: what it throws is caught here, and how long it takes is measured
//! here, because the core has no clock. What follows from it the core decides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use telltale_core::model::Model;
use telltale_core::pipeline::{LoadedIntrusion, LoadedModel};

/// How long one inference may take. All models of an agent share it, and a reload may change it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU64>);

impl Budget {
    /// A budget.
    #[must_use]
    pub fn of(limit: Duration) -> Budget {
        let budget = Budget(Arc::default());
        budget.set(limit);
        budget
    }

    /// Changes it, from the next inference on.
    pub fn set(&self, limit: Duration) {
        self.0.store(limit.as_micros() as u64, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Puts a model behind a door of its own. `own` is what it was signed for, where that is less than the budget of all.
#[must_use]
pub fn guard(loaded: LoadedModel, budget: &Budget, own: Option<Duration>) -> LoadedModel {
    LoadedModel { model: door(loaded.model, budget, own), ..loaded }
}

/// Puts the model that watches the buses behind one.
#[must_use]
pub fn guard_watch(loaded: LoadedIntrusion, budget: &Budget) -> LoadedIntrusion {
    LoadedIntrusion { model: door(loaded.model, budget, None), ..loaded }
}

fn door(model: Box<dyn Model>, budget: &Budget, own: Option<Duration>) -> Box<dyn Model> {
    Box::new(Guarded { model, budget: budget.clone(), own, took: None, overran: None })
}

struct Guarded {
    model: Box<dyn Model>,
    budget: Budget,
    own: Option<Duration>,
    took: Option<Duration>,
    overran: Option<Duration>,
}

impl Model for Guarded {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        let started = Instant::now();
        // After a panic the model may be in disorder. It is still safe to call, and its failures are counted.
        let ran = catch_unwind(AssertUnwindSafe(|| self.model.infer(input, output)));
        let took = started.elapsed();
        let budget = self.budget.get();
        self.took = Some(took);
        self.overran = (took > self.own.map_or(budget, |own| own.min(budget))).then_some(took);
        ran.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", text.unwrap_or("without a message")))
        })
    }

    fn forget(&mut self, subject: usize) {
        // Who panics here will not answer either, and is counted then.
        let _ = catch_unwind(AssertUnwindSafe(|| self.model.forget(subject)));
    }

    fn is_warm(&self, subject: usize) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.model.is_warm(subject))).unwrap_or(false)
    }

    fn overran(&self) -> Option<Duration> {
        self.overran
    }

    fn took(&self) -> Option<Duration> {
        self.took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does as the first input says.
    struct Told;

    impl Model for Told {
        fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
            match input {
                [1, ..] => panic!("index {} of {}", 9, 8),
                [2, ..] => std::thread::sleep(Duration::from_millis(30)),
                [3, ..] => return Err("no".into()),
                _ => output.fill(7),
            }
            Ok(())
        }

        fn forget(&mut self, subject: usize) {
            assert!(subject < 1, "no subject {subject}");
        }

        fn is_warm(&self, subject: usize) -> bool {
            assert!(subject < 1, "no subject {subject}");
            true
        }
    }

    #[test]
    fn panics_become_errors_and_time_is_measured() {
        let budget = Budget::of(Duration::from_millis(20));
        let mut model =
            Guarded { model: Box::new(Told), budget: budget.clone(), own: None, took: None, overran: None };
        let mut output = [0];
        assert_eq!(model.infer(&[1], &mut output), Err("it panicked: index 9 of 8".into()));
        assert_eq!(model.infer(&[3], &mut output), Err("no".into()));
        assert_eq!(model.infer(&[2], &mut output), Ok(()));
        assert!(model.overran().is_some_and(|took| took >= Duration::from_millis(30)));
        budget.set(Duration::from_secs(60));
        assert_eq!(model.infer(&[2], &mut output), Ok(()));
        assert_eq!(model.overran(), None);
        assert!(model.took().is_some_and(|took| took >= Duration::from_millis(30)));
        model.own = Some(Duration::from_millis(20));
        assert_eq!(model.infer(&[2], &mut output), Ok(()));
        assert!(model.overran().is_some(), "what it was signed for is less");
        assert_eq!((model.infer(&[0], &mut output), output), (Ok(()), [7]));
        model.forget(1);
        assert_eq!((model.is_warm(0), model.is_warm(1)), (true, false));
    }
}
