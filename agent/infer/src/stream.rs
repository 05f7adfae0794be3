//! A causal model that takes its samples one by one, each subject with a past of its own.

use crate::model::{ModelError, Shape, check_length, guarded, optimised, row};
use telltale_core::model::Model;
use telltale_qlinear::Stream;

/// An int8 model whose last axis is time, run on one new sample of every subject. From the sample on that completes what
/// it looks back on, its output is that of a whole window's last step, to the bit.
#[derive(Debug)]
pub struct StreamedModel {
    stream: Stream,
    /// Every output channel; one of them is the logit.
    columns: Vec<i8>,
    output_channel: usize,
}

impl StreamedModel {
    /// Loads a model of this window, whose `subjects` are steps of time, for so many subjects.
    ///
    /// # Errors
    /// [`ModelError`]: as [`Int8Model::load`](crate::Int8Model::load), and where the model is no row of causal convolutions or looks
    /// back over more than its window.
    pub fn load(file: &[u8], window: Shape, subjects: usize) -> Result<StreamedModel, ModelError> {
        let stack = row(&optimised(file, &window)?)
            .ok_or_else(|| ModelError::NoStream { why: "it is no single row of convolutions".into() })?;
        let stream = Stream::new(&stack, subjects)?;
        let columns = vec![0; stream.channels().1 * subjects];
        Ok(StreamedModel { stream, columns, output_channel: window.output_channel })
    }

    /// Takes the next sample: `input` is `[channels][subjects]`, `output` one int8 a subject, which is an answer where
    /// [`is_warm`](Model::is_warm) says so. Allocates nothing.
    ///
    /// # Errors
    /// [`ModelError`]: a slice of the wrong length, or the runtime failed.
    pub fn push(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), ModelError> {
        let (subjects, (channels, _)) = (self.stream.subjects(), self.stream.channels());
        check_length("input", channels * subjects, input.len())?;
        check_length("output", subjects, output.len())?;
        guarded("run", || {
            self.stream.push(input, &mut self.columns);
            Ok(())
        })?;
        output.copy_from_slice(&self.columns[self.output_channel * subjects..][..subjects]);
        Ok(())
    }

    /// How many samples decide one output, its own included.
    #[must_use]
    pub const fn looks_back(&self) -> usize {
        self.stream.looks_back()
    }
}

impl Model for StreamedModel {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        self.push(input, output).map_err(|e| e.to_string())
    }

    fn forget(&mut self, subject: usize) {
        self.stream.forget(subject);
    }

    fn is_warm(&self, subject: usize) -> bool {
        self.stream.is_warm(subject)
    }
}
