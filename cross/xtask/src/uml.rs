//! The vcan machine: a real Linux CAN stack on machines whose kernel has none.
//!
//! Debian's user-mode-linux is a kernel that runs as a process, on the host's file system and at its native speed;
//! its first process is `cross/uml/init`. This file starts it and gives back what the command in it printed and how
//! it ended. It stands by itself, so that the system tests include it as it is.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The kernel's program, as Debian installs it.
const KERNEL: &str = "/usr/bin/linux.uml";
/// The tools of its first process.
const BUSYBOX: &str = "/bin/busybox";
/// What brings both.
const INSTALL: &str = "sudo apt-get install --no-install-recommends user-mode-linux busybox-static";

/// What the machine needs and does not find, with the line that installs it; `None` if it can be started.
pub(crate) fn missing() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the vcan machine is a program for x86_64".to_owned());
    }
    let absent: Vec<&str> = [KERNEL, BUSYBOX].into_iter().filter(|p| !Path::new(p).exists()).collect();
    (!absent.is_empty()).then(|| format!("{} not found: run {INSTALL}", absent.join(" and ")))
}

/// Runs a command where vcan0 to vcan3 are up, with this process's environment and folder. Gives its exit status;
/// what it prints, on both of its streams, goes to `output` as it comes.
///
/// # Errors
/// If the machine is not installed, does not boot, or is not done in time.
pub(crate) fn run_in_uml(
    init: &Path,
    command: &[OsString],
    output: &mut (dyn Write + Send),
    limit: Duration,
) -> Result<i32> {
    if let Some(missing) = missing() {
        bail!("{missing}");
    }
    ensure!(!command.is_empty(), "no command for the vcan machine");
    let job = Job::new(command)?;
    let log = fs::File::create(job.0.join("kernel.log")).context("the kernel's log cannot be written")?;
    let mut kernel = Command::new(KERNEL);
    kernel
        .args(["mem=512M", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"])
        .args(["con=null", "con0=fd:0,fd:1", "console=tty1", "con1=null,fd:2"])
        .arg(assignment("init", init))
        .arg(assignment("TELLTALE_JOB", &job.0))
        .stdin(Stdio::null())
        .stdout(Stdio::piped()) // its console takes a pipe or a terminal, but no file
        .stderr(log)
        .process_group(0);
    let mut child = kernel.spawn().with_context(|| format!("{KERNEL} could not be started"))?;
    let mut console = child.stdout.take().context("the machine has no console")?;
    thread::scope(|scope| {
        let copied = scope.spawn(move || std::io::copy(&mut console, output));
        wait(&mut child, limit)?;
        let copied = copied.join().map_err(|_| anyhow!("the console's reader panicked"))?;
        copied.context("what the command printed cannot be passed on")
    })?;
    let status = fs::read_to_string(job.0.join("status")).with_context(|| {
        let said = fs::read_to_string(job.0.join("kernel.log")).unwrap_or_default();
        format!("the vcan machine ended without a status; its kernel said:\n{said}")
    })?;
    status.trim().parse().with_context(|| format!("the vcan machine's status is {status:?}"))
}

fn assignment(name: &str, path: &Path) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(path);
    text
}

/// Waits for the machine; one that is not done in time is ended with the processes that help it.
fn wait(child: &mut Child, limit: Duration) -> Result<()> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > limit {
            Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status()?;
            child.wait()?;
            bail!("the vcan machine was not done after {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A folder that tells the machine what to run; removed at the end.
struct Job(PathBuf);

impl Job {
    fn new(command: &[OsString]) -> Result<Job> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("telltale-uml-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let job = Job(folder);
        fs::write(job.0.join("run"), script(command)?).context("the machine's job cannot be written")?;
        Ok(job)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command with the environment and the folder of this process, for a POSIX shell.
fn script(command: &[OsString]) -> Result<Vec<u8>> {
    let mut script = b"cd ".to_vec();
    quote(env::current_dir().context("the current folder is gone")?.as_os_str(), &mut script);
    script.extend(b" || exit 126\n");
    for (name, value) in env::vars_os() {
        // What a shell cannot name, it cannot set; no program of ours reads such a variable.
        let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let name = name.as_bytes();
        if !name.is_empty() && name.iter().all(plain) && !name[0].is_ascii_digit() {
            script.extend([b"export ", name, b"="].concat());
            quote(&value, &mut script);
            script.push(b'\n');
        }
    }
    script.extend(b"exec");
    for word in command {
        script.push(b' ');
        quote(word, &mut script);
    }
    script.push(b'\n');
    Ok(script)
}

/// Between single quotes, where a POSIX shell changes nothing.
fn quote(word: &OsStr, script: &mut Vec<u8>) {
    script.push(b'\'');
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => script.extend(br"'\''"),
            _ => script.push(byte),
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_are() {
        let words = ["printf", "%s|", "a b", "it's", "$HOME", "\"\\", ""].map(OsString::from);
        let script = script(&words).unwrap();
        let output = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b|it's|$HOME|\"\\||");
    }
}
