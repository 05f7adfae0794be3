//! What a machine says on its console: lines for the host begin with `@`, the rest is kept for a failure's message.

use anyhow::{Context as _, Result, bail};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// The longest line that is read: a status of 1,000 signals is 200 kB.
const MAX_LINE: u64 = 4 << 20;
/// Lines that are kept.
const KEPT: usize = 40;

/// A console's lines as they come.
pub(super) struct Console {
    lines: Receiver<String>,
    kept: VecDeque<String>,
}

/// A word for the host, what follows it, and when it came.
pub(super) struct Said {
    pub(super) word: String,
    pub(super) rest: String,
    pub(super) at: Instant,
}

impl Console {
    pub(super) fn of(output: ChildStdout) -> Console {
        let (send, lines) = sync_channel(1_024);
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let mut line = Vec::new();
                match output.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                    Ok(1..) => {}
                    _ => return,
                }
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Console { lines, kept: VecDeque::new() }
    }

    /// The next word for the host.
    ///
    /// # Errors
    /// If none comes in time, the machine ends, or it says that something failed; with the console's last lines.
    pub(super) fn next(&mut self, limit: Duration) -> Result<Said> {
        let began = Instant::now();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the machine said nothing for {} s:\n{}", limit.as_secs(), self.tail())
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the machine ended:\n{}", self.tail()),
            };
            // A kernel's message may stand before it on the line.
            let Some((_, told)) =
                line.split_once('@').filter(|(before, _)| !before.contains(char::is_alphabetic))
            else {
                self.keep(line);
                continue;
            };
            let (word, rest) = told.split_once(' ').unwrap_or((told, ""));
            if word == "failed" {
                // What follows explains it.
                while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(2)) {
                    self.keep(line);
                }
                bail!("{rest}:\n{}", self.tail());
            }
            return Ok(Said { word: word.to_owned(), rest: rest.to_owned(), at: Instant::now() });
        }
    }

    /// As [`Console::next`], which must be this word; gives what follows it.
    pub(super) fn expect(&mut self, word: &str, limit: Duration) -> Result<Said> {
        let said = self.next(limit).with_context(|| format!("waiting for @{word}"))?;
        if said.word != word {
            bail!("the machine said @{} {} instead of @{word}:\n{}", said.word, said.rest, self.tail());
        }
        Ok(said)
    }

    fn keep(&mut self, line: String) {
        self.kept.push_back(line);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    fn tail(&self) -> String {
        self.kept.iter().map(|line| format!("  {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;
    use std::process::Stdio;

    fn console(script: &str) -> Console {
        let mut child = shell::program("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let console = Console::of(child.stdout.take().unwrap());
        child.wait().unwrap();
        console
    }

    #[test]
    fn words_for_the_host_are_told_apart_from_what_else_is_said() {
        let mut console =
            console("echo booting; echo '@up 6.1'; echo mail@host; echo '[ 0.1] @sent a {}'; echo bye");
        let limit = Duration::from_secs(5);
        assert_eq!(console.expect("up", limit).unwrap().rest, "6.1");
        assert_eq!(console.expect("sent", limit).unwrap().rest, "a {}");
        let ended = console.next(limit).map(|said| said.word).unwrap_err().to_string();
        assert!(ended.contains("the machine ended") && ended.contains("bye"), "{ended}");
    }

    #[test]
    fn a_failure_brings_what_explains_it() {
        let mut console = console("echo '@failed no disk'; echo 'mount: no such device'");
        let failed = console.next(Duration::from_secs(5)).map(|said| said.word).unwrap_err().to_string();
        assert!(failed.starts_with("no disk:") && failed.contains("no such device"), "{failed}");
    }
}
