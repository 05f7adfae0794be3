//! What the cloud has switched off by commands. It stays so over starts, until it is switched on again.

use std::collections::BTreeSet;
use telltale_core::pipeline::SwitchedOff;
use telltale_wire::desired::{Feature, FeatureSwitch, MAX_TEXT, ModelSwitch};

/// The most models that may be switched off by their names.
const MAX_MODELS: usize = 32;

/// What is off.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Switches {
    features: BTreeSet<Feature>,
    models: BTreeSet<String>,
}

impl Switches {
    /// Whether this part is on.
    pub(crate) fn is_on(&self, feature: Feature) -> bool {
        !self.features.contains(&feature)
    }

    pub(super) fn set_feature(&mut self, FeatureSwitch { feature, on }: FeatureSwitch) {
        if on {
            self.features.remove(&feature);
        } else {
            self.features.insert(feature);
        }
    }

    /// Errs if there are too many already.
    pub(super) fn set_model(&mut self, ModelSwitch { model, on }: ModelSwitch) -> Result<(), String> {
        if on {
            self.models.remove(&model);
        } else if self.models.len() >= MAX_MODELS && !self.models.contains(&model) {
            return Err(format!("{MAX_MODELS} models are switched off by their names already"));
        } else {
            self.models.insert(model);
        }
        Ok(())
    }

    /// As the loop takes it.
    pub(crate) fn of_the_loop(&self) -> SwitchedOff {
        SwitchedOff {
            snapshots: !self.is_on(Feature::Snapshots),
            statistics: !self.is_on(Feature::Statistics),
            all_models: !self.is_on(Feature::Models),
            models: self.models.clone(),
        }
    }

    /// What is off, for people.
    pub(crate) fn words(&self) -> Vec<String> {
        let features = self.features.iter().map(|feature| feature.name().to_owned());
        features.chain(self.models.iter().map(|model| format!("model {model}"))).collect()
    }

    /// A line for each thing that is off, as [`Switches::read`] takes them.
    pub(super) fn lines(&self) -> String {
        self.words().into_iter().map(|words| format!("off {words}\n")).collect()
    }

    /// What lines of a file say; others are passed over.
    pub(super) fn read(text: &str) -> Switches {
        let mut switches = Switches::default();
        for word in text.lines().filter_map(|line| line.strip_prefix("off ")) {
            match word.strip_prefix("model ") {
                Some(model) if model.len() <= MAX_TEXT && switches.models.len() < MAX_MODELS => {
                    switches.models.insert(model.to_owned());
                }
                Some(_) => {}
                None => {
                    switches.features.extend(Feature::ALL.into_iter().filter(|known| known.name() == word));
                }
            }
        }
        switches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_comes_back_from_its_line() {
        let mut off = Switches::default();
        for feature in Feature::ALL {
            off.set_feature(FeatureSwitch { feature, on: false });
            assert!(!off.is_on(feature));
        }
        off.set_model(ModelSwitch { model: "cell fault".into(), on: false }).unwrap();
        assert_eq!(Switches::read(&format!("7 300 1\n{}off thing\n", off.lines())), off);
        let in_the_loop = off.of_the_loop();
        assert!(in_the_loop.snapshots && in_the_loop.statistics && in_the_loop.all_models);
        assert!(in_the_loop.model("cell fault"));
        for feature in Feature::ALL {
            off.set_feature(FeatureSwitch { feature, on: true });
        }
        off.set_model(ModelSwitch { model: "cell fault".into(), on: true }).unwrap();
        assert_eq!((off.lines().as_str(), off.of_the_loop()), ("", SwitchedOff::default()));
    }

    #[test]
    fn names_are_bounded() {
        let mut off = Switches::default();
        let mut set = |n: usize| off.set_model(ModelSwitch { model: n.to_string(), on: false });
        (0..MAX_MODELS).for_each(|n| set(n).unwrap());
        assert!(set(MAX_MODELS).is_err());
        assert!(set(0).is_ok(), "that one is off already");
    }
}
