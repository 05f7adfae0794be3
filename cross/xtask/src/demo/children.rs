//! The demo's processes and its temporary folder: both are gone on every way out, a panic's included.

use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, process};

/// How many lines of each log a failure prints.
const LOG_TAIL: usize = 15;

/// What a process is for: it decides what its end means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    /// Must not end by itself.
    Cloud,
    /// Ends when the drive is over.
    Simulation,
    /// Ends after its last sync, if its source ends.
    Vehicle,
}

struct Process {
    name: String,
    role: Role,
    child: Child,
}

/// The running processes.
#[derive(Default)]
pub(super) struct Children {
    processes: Vec<Process>,
}

impl Children {
    /// Starts the cloud.
    pub(super) fn start_cloud(&mut self, mut command: Command, log: File) -> Result<()> {
        command.stdin(Stdio::null());
        self.start("cloud", Role::Cloud, command, &log, &log)?;
        Ok(())
    }

    /// Starts a simulation whose frames flow into a vehicle.
    pub(super) fn start_pipe(&mut self, name: &str, from: Command, to: Command, log: File) -> Result<()> {
        let (mut from, mut to) = (from, to);
        let (reader, writer) = std::io::pipe().context("no pipe can be had")?;
        from.stdin(Stdio::null());
        to.stdin(reader);
        self.start(&format!("{name}'s simulation"), Role::Simulation, from, writer, &log)?;
        self.start(name, Role::Vehicle, to, &log, &log)
    }

    fn start(
        &mut self,
        name: &str,
        role: Role,
        mut command: Command,
        stdout: impl IntoStdio,
        log: &File,
    ) -> Result<()> {
        command.stdout(stdout.into_stdio()?).stderr(log.into_stdio()?);
        // A group of its own: Ctrl-C reaches the demo, and the demo ends its children in order.
        let child = command.process_group(0).spawn();
        let child = child
            .with_context(|| format!("{name}: {} cannot be started", command.get_program().display()))?;
        self.processes.push(Process { name: name.to_owned(), role, child });
        Ok(())
    }

    /// Whether all fares well: nobody failed, and the cloud is there.
    pub(super) fn check(&mut self) -> Result<()> {
        for process in &mut self.processes {
            let Some(status) = process.child.try_wait()? else { continue };
            if process.role == Role::Cloud || !status.success() {
                bail!("{} ended with {status}", process.name);
            }
        }
        Ok(())
    }

    /// Whether every simulation has ended.
    pub(super) fn drives_are_over(&mut self) -> bool {
        self.all_ended(Role::Simulation)
    }

    /// Whether every vehicle has ended by itself.
    pub(super) fn vehicles_are_done(&mut self) -> bool {
        self.all_ended(Role::Vehicle)
    }

    fn all_ended(&mut self, role: Role) -> bool {
        let mut those = self.processes.iter_mut().filter(|process| process.role == role);
        those.all(|process| matches!(process.child.try_wait(), Ok(Some(_))))
    }

    /// Ends everybody, the last started first.
    pub(super) fn end(&mut self) {
        while let Some(mut process) = self.processes.pop() {
            // An error means that it has ended already.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.end();
    }
}

trait IntoStdio {
    fn into_stdio(self) -> Result<Stdio>;
}

impl IntoStdio for &File {
    fn into_stdio(self) -> Result<Stdio> {
        Ok(self.try_clone().context("a log file cannot be shared")?.into())
    }
}

impl IntoStdio for std::io::PipeWriter {
    fn into_stdio(self) -> Result<Stdio> {
        Ok(self.into())
    }
}

/// The demo's folder, removed with everything in it.
pub(super) struct Workspace {
    dir: PathBuf,
}

impl Workspace {
    /// A fresh folder among the temporary ones.
    pub(super) fn new() -> Result<Self> {
        let dir = env::temp_dir().join(format!("telltale-demo-{}", process::id()));
        fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(Self { dir })
    }

    /// A place in it.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// A new log file.
    pub(super) fn log(&self, name: &str) -> Result<File> {
        let path = self.path(format!("{name}.log"));
        File::create(&path).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The end of every log, for a failure.
    pub(super) fn logs(&self) -> String {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut logs: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
        logs.sort();
        let tails = logs.iter().map(|path| {
            let text = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n");
            format!("-- {} --\n{tail}\n", path.file_name().unwrap_or_default().display())
        });
        tails.collect()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed stays among the temporary files, which the system clears.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn log() -> File {
        File::create("/dev/null").unwrap()
    }

    fn is_alive(pid: u32) -> bool {
        // A zombie's state is Z: it has ended and waits to be asked.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn dropped_children_are_ended() {
        let mut children = Children::default();
        children.start_cloud(shell("exec sleep 100"), log()).unwrap();
        children.start_pipe("v", shell("exec sleep 100"), shell("exec sleep 100"), log()).unwrap();
        let pids: Vec<u32> = children.processes.iter().map(|process| process.child.id()).collect();
        assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)));
        drop(children);
        assert!(!pids.iter().any(|pid| is_alive(*pid)));
    }

    #[test]
    fn frames_flow_through_the_pipe_and_both_ends_end() {
        let workspace = Workspace::new().unwrap();
        let mut children = Children::default();
        let to = shell("cat; echo end");
        children.start_pipe("v", shell("echo frame"), to, workspace.log("v").unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !(children.drives_are_over() && children.vehicles_are_done()) {
            assert!(Instant::now() < deadline, "the pipe did not close");
            std::thread::sleep(Duration::from_millis(10));
        }
        children.check().unwrap();
        assert_eq!(workspace.logs(), "-- v.log --\nframe\nend\n");
    }

    #[test]
    fn a_failure_and_a_cloud_that_ends_are_told() {
        for (role, script, told) in [
            (Role::Vehicle, "exit 3", Some("v ended with exit status: 3")),
            (Role::Cloud, "exit 0", Some("v ended with exit status: 0")),
            (Role::Vehicle, "exit 0", None),
        ] {
            let mut children = Children::default();
            children.start("v", role, shell(script), &log(), &log()).unwrap();
            children.processes[0].child.wait().unwrap();
            assert_eq!(children.check().err().map(|error| error.to_string()).as_deref(), told);
        }
    }

    #[test]
    fn the_folder_goes_with_its_owner() {
        let dir = {
            // Tests of one process share its id: this one needs a folder of its own name.
            let workspace =
                Workspace { dir: env::temp_dir().join(format!("telltale-demo-test-{}", process::id())) };
            fs::create_dir(&workspace.dir).unwrap();
            workspace.log("x").unwrap();
            workspace.dir.clone()
        };
        assert!(!dir.exists());
    }
}
