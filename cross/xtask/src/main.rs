//! `cargo xtask`: one place that checks, tests, cross-builds, measures and demonstrates the workspace.
//!
//! Each subcommand is a room of its own; this file only reads the command line. CI runs `cargo xtask ci` and
//! nothing else, so that a developer can repeat on a desk exactly what the gate did.
// A build tool speaks on the terminal; the workspace's libraries stay silent.
#![allow(clippy::print_stdout)]

mod bench;
mod ci;
mod code;
mod cross_build;
mod demo;
mod firmware;
mod models;
mod needs;
mod package;
mod reproduce;
mod shell;
mod sil;
mod suite;
mod symbols;
mod tidy;
mod uml;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Checks, tests, cross builds, measurements and the demo of Telltale"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Test the rules of the house that no lint can say
    ///
    /// Layers (who may depend on whom), the purity of agent/core, forbidden crates, what a vehicle's build
    /// carries, a `//!` in every file, files that grew too long, paths of one machine in committed text.
    /// Each finding names file, line, rule and what to do. Takes seconds and builds nothing.
    Tidy,
    /// Install what the tests need, build the binaries they start, run `cargo test`
    ///
    /// Debian packages are installed when run as root; otherwise the line to run and the tests that are skipped
    /// are printed. Sets TELLTALE_BIN, TELLTALE_CLOUD_BIN and TELLTALE_PYTHON. The last line and the exit code
    /// are those of `cargo test`. Example: `cargo xtask test -p telltale-wire -- --nocapture`.
    Test {
        /// Use the machine as it is
        #[arg(long)]
        no_install: bool,
        /// Goes to `cargo test`; a package named here replaces `--workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build the vehicle's binary for a target and print its size
    ///
    /// The agent without the workbench. Linkers and compilers per target stand in .cargo/config.toml. A release has no path of
    /// this machine in it, and its symbols apart: `aarch64-linux-gnu-addr2line -Cfie telltale.debug 0x1234` reads an address.
    /// Example: `cargo xtask build --release`, then copy the one static file to the ECU.
    Build {
        /// The target triple
        #[arg(long, default_value = cross_build::VEHICLE)]
        target: String,
        /// Optimise and strip, as a vehicle carries it
        #[arg(long)]
        release: bool,
        /// Tune for one processor, such as cortex-a72 or neoverse-n1: the file may then not run on another. The models'
        /// kernels need no tuning: they are chosen when the agent starts, by what the processor has
        #[arg(long)]
        cpu: Option<String>,
    },
    /// Build the committed sources twice, in two folders, and compare: binary, symbols, package and image to the bit
    Reproduce {
        /// The target triple
        #[arg(long, default_value = cross_build::VEHICLE)]
        target: String,
        /// Build the small sender of the test machines in the agent's place: the same way in a minute
        #[arg(long)]
        quick: bool,
    },
    /// Pack the vehicle's binary as a Debian package (sandboxed service, configuration, model) and as a container image
    ///
    /// Without Debian's tools or a daemon, and the same bytes from the same binary. dpkg-deb and systemd-analyze check it where they are.
    Package {
        /// The target triple
        #[arg(long, default_value = cross_build::VEHICLE)]
        target: String,
        /// Pack this binary instead of building one
        #[arg(long)]
        binary: Option<std::path::PathBuf>,
    },
    /// Build the microcontroller's firmware of the CAN bridge and print what it takes of flash and RAM
    Firmware,
    /// Measure what has a budget
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
    /// Train a model, print its figures, quantize it, compare its runtimes
    ///
    /// Makes one Python environment from models/requirements.txt on first use, builds the agent for its feature code, and
    /// runs the script of that name in the model's folder on the recordings (TELLTALE_DATA).
    /// Example: `cargo xtask models evaluate state-of-health --json`.
    Models {
        #[command(subcommand)]
        task: models::Models,
    },
    /// Run a fleet on this machine: cloud, vehicles, a drifting cell, a page that shows it
    ///
    /// Builds both binaries as the tests do, makes certificates in a temporary folder, lets each vehicle drive six
    /// simulated hours and prints what happens. Ends with Ctrl-C and leaves nothing behind. With --headless it
    /// checks by itself: exit status 0 only if the faulty cell was found, synced and shown on the page, and no
    /// healthy vehicle shows an anomaly.
    Demo {
        /// Check by itself and end, for CI
        #[arg(long)]
        headless: bool,
        /// End after so many seconds [headless: 180, else Ctrl-C]
        #[arg(long)]
        seconds: Option<u64>,
        /// How many vehicles drive; one of them is faulty
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
        vehicles: u8,
        /// Simulated seconds that pass in a second
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
        speed: u32,
    },
    /// Run a command on a kernel with CAN: vcan0 to vcan3 are up
    ///
    /// Starts Debian's user-mode-linux on this machine's file system, runs the command there with this environment
    /// and folder, and ends with its exit status. Example: `cargo xtask uml -- ip -details link show vcan0`.
    Uml {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Drive the vehicle's binary on whole machines: buses, disk, network, a cut of power
    ///
    /// user-mode-linux runs it as native code: four buses at 8,000 frames a second each, none lost, 5 ms from frame to score at
    /// the 99th percentile. QEMU runs the very aarch64 file that ships, on Debian's kernel. Both send classic, CAN FD and error
    /// frames and such as filters drop, take an interface down and up, sync by mutual TLS to a cloud on this host, lose power in
    /// the middle of a sync, boot again, and end with each durable record at the cloud once. With TELLTALE_DATA a real car's
    /// recording is played as well. Debian packages are installed when run as root.
    Sil {
        #[command(subcommand)]
        command: Option<SilCommand>,
        /// One JSON object on standard output, the progress on standard error
        #[arg(long)]
        json: bool,
        /// Which machine: uml, aarch64 or all
        #[arg(long, default_value = "all")]
        machine: String,
        /// This vehicle's binary for user-mode-linux instead of building one
        #[arg(long)]
        x86_64: Option<std::path::PathBuf>,
        /// This static aarch64 binary instead of building one
        #[arg(long)]
        aarch64: Option<std::path::PathBuf>,
    },
    /// Run every gate, cheap ones first, and stop at the first that fails
    ///
    /// Formatting, tidy, licences and sources (cargo-deny), the bridge for its microcontroller, clippy, the
    /// documentation, the vehicle's release build, all tests, the budgets. Ends with a table of what each step took.
    Ci {
        /// Run these steps only, such as `deny` or `vehicle`
        steps: Vec<String>,
    },
}

#[derive(Subcommand)]
enum SilCommand {
    /// Send 1,000 to 40,000 frames a second on user-mode-linux: a table of losses and latencies, and cross/machine/load.svg
    Load,
    /// Install the Debian package on a machine with a real systemd, run the container image there, and see that all holds
    ///
    /// user-mode-linux boots a Debian that mmdebstrap makes (once: 200 MB). Needs root.
    Service,
}

#[derive(Subcommand)]
enum Bench {
    /// Instructions that decoding and dispatching one CAN frame takes, counted by callgrind
    Decode {
        /// Fail above so many instructions per frame into the windows, and 300 more through the whole loop
        #[arg(long)]
        max: Option<u64>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// One inference of each shipped model and one new sample of a causal network, beside ONNX Runtime and stock tract
    ///
    /// One thread, the same int8 file, rounds that alternate in one run; instructions besides, by callgrind here and by QEMU
    /// for the vehicle's processor. More than a fifth of ONNX Runtime's whole window for a new sample is a failure.
    Infer {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Instructions that holding one CAN frame against its bus's profile takes, counted by callgrind
    Intrusion {
        /// Fail above so many instructions per frame of a standard identifier, and 25 more of an extended one
        #[arg(long)]
        max: Option<u64>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Bytes a sample in a snapshot, beside protobuf with snappy and candump, on the same samples
    ///
    /// On a simulated drive, and on the real recordings where they are (TELLTALE_DATA). Each snapshot is unpacked and
    /// compared with the log to the bit; more than 4 bytes a sample is a failure.
    Snapshot,
    /// Bytes a vehicle-day of summaries, beside raw CAN, protobuf with snappy, and JSON
    ///
    /// On a simulated day, and on the real recordings where they are (TELLTALE_DATA), with the statistics of every signal and
    /// the framing of the sync request. More bytes a signal and minute than the example states are a failure.
    Summary,
    /// Flash, RAM and stack of the bridge's firmware, on an emulated Cortex-M4
    ///
    /// Builds the firmware, runs the system tests that drive it in QEMU, and prints the deepest stack that it told of.
    Bridge {
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// A CAN controller that turns error passive, goes bus-off and is restarted by the vehicle's binary
    ///
    /// Boots Debian's arm64 kernel in QEMU with two SJA1000 on one bus. Its controllers know no faulty bits: a debugger lets the
    /// driver read the registers of an error interrupt. QEMU is installed when run as root; the kernel is fetched into
    /// the target folder once.
    Controller {
        /// Run this static aarch64 binary instead of building one
        #[arg(long)]
        binary: Option<std::path::PathBuf>,
    },
    /// How many times real time the simulated vehicle goes, on one core
    ///
    /// Two days of the default vehicle with both buses, without writing them anywhere.
    Simulate,
    /// Size and memory of the vehicle's binary, on an emulated aarch64 machine
    ///
    /// Builds the vehicle's binary, boots Debian's arm64 kernel in QEMU with nothing but that binary, the cell-fault
    /// model and a simulated hour of frames, and reads the agent's PSS and peak RSS after it has judged them.
    /// QEMU is installed when run as root; the kernel is fetched into the target folder once.
    Vehicle {
        /// Measure this static aarch64 binary instead of building one
        #[arg(long)]
        binary: Option<std::path::PathBuf>,
        /// Print one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// A command in the vcan machine may take so long.
const UML_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Tidy => tidy::run(),
        Task::Test { no_install, args } => suite::run(!no_install, &args, None),
        Task::Build { target, release, cpu } => cross_build::run(&target, release, cpu.as_deref()),
        Task::Reproduce { target, quick } => reproduce::run(&target, quick),
        Task::Bench { bench: Bench::Decode { max, json } } => bench::decode(max, json),
        Task::Bench { bench: Bench::Infer { json } } => bench::infer::run(json),
        Task::Bench { bench: Bench::Intrusion { max, json } } => bench::intrusion(max, json),
        Task::Bench { bench: Bench::Snapshot } => bench::snapshot::run(),
        Task::Bench { bench: Bench::Summary } => bench::snapshot::summary(),
        Task::Firmware => firmware::run(),
        Task::Models { task } => models::run(&task),
        Task::Package { target, binary } => package::run(&target, binary),
        Task::Bench { bench: Bench::Bridge { json } } => bench::bridge::run(json),
        Task::Bench { bench: Bench::Controller { binary } } => bench::controller::run(binary),
        Task::Bench { bench: Bench::Simulate } => bench::simulate(),
        Task::Bench { bench: Bench::Vehicle { binary, json } } => bench::vehicle::run(binary, json),
        Task::Demo { headless, seconds, vehicles, speed } => {
            demo::run(&demo::Options { headless, seconds, vehicles, speed })
        }
        Task::Uml { command } => match uml::run_in_uml(
            &shell::root().join("cross/uml/init"),
            &command,
            &mut std::io::stdout(),
            UML_LIMIT,
        ) {
            // The command has said what there is to say.
            Ok(status) => return ExitCode::from(u8::try_from(status).unwrap_or(1)),
            Err(error) => Err(error),
        },
        Task::Sil { command, json, machine, x86_64, aarch64 } => sil::kinds(&machine).and_then(|machines| {
            let options = sil::Options { machines, json, x86_64, aarch64 };
            match command {
                Some(SilCommand::Load) => sil::load::run(&options),
                Some(SilCommand::Service) => sil::service::run(&options),
                None => sil::run(&options),
            }
        }),
        Task::Ci { steps } => ci::run(&steps),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
