//! `cargo xtask sil service`: the Debian package and the container image on a machine that has what they are made for:
//! Debian with its systemd, and crun.
//!
//! user-mode-linux boots a Debian that mmdebstrap made; `cross/machine/service` runs there at the end of the boot. It
//! installs the package, looks at the sandbox from inside, and makes the agent hang, run out of memory and end.

use super::machine::Machine;
use super::{Kind, Load, Options, Programs, frames};
use crate::{cross_build, needs, package, shell};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Debian's release, and what the machine has beside its smallest set.
const RELEASE: &str = "bookworm";
const PACKAGES: &str = "--include=systemd,systemd-sysv,iproute2,kmod,crun";
/// The machine's disk.
const DISK: u64 = 640 << 20;
/// The folder of what is tried there.
const PLACE: &str = "opt/bench";
/// One step there, on a busy host.
const STEP: Duration = Duration::from_secs(300);
/// The modules of a CAN bus, below the folder of user-mode-linux's own.
const MODULES: [&str; 4] =
    ["net/can/can.ko", "net/can/can-raw.ko", "drivers/net/can/dev/can-dev.ko", "drivers/net/can/vcan.ko"];
const ALL_MODULES: &str = "/usr/lib/uml/modules";
/// The manifest for an edge node, and what of it the container gets.
const MANIFEST: &str = "cross/package/files/daemonset.yaml";
const FROM_THE_MANIFEST: [&str; 7] = [
    "hostNetwork: true",
    "runAsUser: 65532",
    "supplementalGroups: [20]",
    "allowPrivilegeEscalation: false",
    "readOnlyRootFilesystem: true",
    "capabilities: { drop: [ALL] }",
    "limits: { cpu: 500m, memory: 64Mi }",
];
const MEMORY: u64 = 64 << 20;

/// The last of the boot: systemd starts what is tried.
const UNIT: &str = "[Unit]\nDescription=What is tried on this machine\n\n[Service]\nType=oneshot\n\
     ExecStart=/opt/bench/service\n\n[Install]\nWantedBy=multi-user.target\n";
/// A configuration as a person writes it.
const SETTINGS: &str = "vehicle = \"bench\"\ncatalog = \"/etc/telltale/catalog.toml\"\n\
     models = [\"/usr/share/telltale/models/cell-fault\"]\nsource = \"live\"\nsummary_s = 5\n\
     spool = { dir = \"/var/lib/telltale/spool\" }\n";

/// Tries package and image; prints what was seen to hold, and fails at the first that does not.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::for_service()?;
    let programs = Programs::build()?;
    let load = Load::of(Kind::Uml, options)?;
    let folder = std::env::temp_dir().join(format!("telltale-service-{}", std::process::id()));
    let tried = disk(&folder, &programs, &load).and_then(|disk| drive(&disk, &folder.join("kernel.log")));
    let log = fs::read_to_string(folder.join("kernel.log")).unwrap_or_default();
    let _ = fs::remove_dir_all(&folder);
    tried.with_context(|| format!("-- kernel.log --\n{log}the service's machine did not hold"))
}

/// The machine's disk: Debian, and what is tried.
fn disk(folder: &Path, programs: &Programs, load: &Load) -> Result<PathBuf> {
    let root = folder.join("root");
    fs::create_dir_all(&root).with_context(|| format!("{} cannot be made", root.display()))?;
    shell::output(shell::program("tar").arg("-xf").arg(debian()?).arg("-C").arg(&root))?;
    let bench = root.join(PLACE);
    fs::create_dir_all(bench.join("modules"))?;
    let copy = |from: &Path, name: &str| {
        fs::copy(from, bench.join(name)).with_context(|| format!("{} cannot be copied", from.display()))
    };
    copy(&shell::root().join("cross/machine/service"), "service")?;
    shell::output(shell::program("chmod").arg("755").arg(bench.join("service")))?;
    let kernel = fs::read_dir(ALL_MODULES).context("user-mode-linux has no modules")?.next();
    let kernel = kernel.context("user-mode-linux has no modules")??.path().join("kernel");
    for module in MODULES {
        let name = Path::new(module).file_name().unwrap_or_default().to_string_lossy().into_owned();
        copy(&kernel.join(module), &format!("modules/{name}"))?;
    }
    let packed =
        package::pack(&shell::root(), &load.vehicle, cross_build::HOST, &folder.join("package"), None)?;
    let [package, image] = packed.as_slice() else { bail!("the packer wrote {packed:?}") };
    copy(package, "telltale.deb")?;
    copy(&load.sender, "can-load")?;
    fs::write(bench.join("drive.log"), frames::drive(programs, folder)?)?;
    for place in [bench.clone(), bench.join("configuration")] {
        fs::create_dir_all(&place)?;
        fs::write(place.join("telltale.toml"), SETTINGS)?;
        let model = shell::root().join("models/cell-fault");
        let catalog = fs::read_to_string(model.join("catalog-sim.toml"))?.replace("\"can0\"", "\"vcan0\"");
        fs::write(place.join("catalog.toml"), catalog)?;
        fs::copy(model.join("bms.dbc"), place.join("bms.dbc"))?;
    }
    unpack_image(image, &folder.join("image"), &bench.join("image"))?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("bench.service"), UNIT)?;
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, units.join(name));
    fs::create_dir_all(units.join("multi-user.target.wants"))?;
    link("../bench.service", "multi-user.target.wants/bench.service")?;
    // The console is the host's.
    link("/dev/null", "getty@tty1.service")?;
    fs::write(root.join("etc/fstab"), "")?;
    fs::write(root.join("etc/hostname"), "bench\n")?;
    let disk = folder.join("disk.img");
    fs::File::create(&disk)?.set_len(DISK).context("the machine's disk cannot be made")?;
    let make = ["-q", "-t", "ext4", "-d"];
    shell::output(shell::program("/sbin/mke2fs").args(make).arg(&root).arg(&disk))?;
    Ok(disk)
}

/// A small Debian as an archive; made once.
fn debian() -> Result<PathBuf> {
    let archive = shell::target_dir().join("vm").join(format!("debian-{RELEASE}-service.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    fs::create_dir_all(archive.with_file_name(""))?;
    eprintln!("making {}: a Debian for the service's machine", archive.display());
    let partial = archive.with_extension("partial.tar");
    let mut make = shell::program("mmdebstrap");
    shell::output(make.args(["--quiet", "--variant=minbase", PACKAGES, RELEASE]).arg(&partial))?;
    fs::rename(&partial, &archive)?;
    Ok(archive)
}

/// The image's layer as a container's root, and its configuration for the runtime, with the manifest's settings.
fn unpack_image(image: &Path, scratch: &Path, to: &Path) -> Result<()> {
    let unpack = |archive: &Path, to: &Path| -> Result<()> {
        fs::create_dir_all(to)?;
        shell::output(shell::program("tar").arg("-xf").arg(archive).arg("-C").arg(to)).map(drop)
    };
    unpack(image, scratch)?;
    let read = |path: PathBuf| -> Result<Value> {
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    };
    let blob = |descriptor: &Value| -> Result<PathBuf> {
        let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        Ok(scratch.join("blobs/sha256").join(digest.context("a descriptor without a digest")?))
    };
    let manifest = read(blob(&read(scratch.join("index.json"))?["manifests"][0])?)?;
    let config = read(blob(&manifest["config"])?)?;
    unpack(&blob(&manifest["layers"][0])?, &to.join("rootfs"))?;
    let edge_node = fs::read_to_string(shell::root().join(MANIFEST)).context("no manifest")?;
    fs::write(to.join("config.json"), runtime(&config, &edge_node)?.to_string())?;
    Ok(())
}

/// What a low-level runtime is told (OCI runtime specification 1.0).
fn runtime(image: &Value, manifest: &str) -> Result<Value> {
    for setting in FROM_THE_MANIFEST {
        ensure!(manifest.contains(setting), "{MANIFEST} says no more {setting:?}: change the container too");
    }
    let user = image["config"]["User"].as_str().context("the image names no user")?;
    ensure!(user == "65532:65532", "the image's user is {user}, the manifest's 65532");
    let list = |key: &str| image["config"][key].as_array().cloned().unwrap_or_default();
    let args = [list("Entrypoint"), list("Cmd")].concat();
    let bind = |from: &str, to: &str, mode: &str| json!({ "destination": to, "type": "bind", "source": from, "options": ["rbind", mode] });
    let spaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({ "type": kind }));
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 65_532, "gid": 65_532, "additionalGids": [20] },
            "args": args,
            "env": [],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            bind("/opt/bench/configuration", "/etc/telltale", "ro"),
            bind("/opt/bench/state", "/var/lib/telltale", "rw"),
            // The file that ships is static. This machine's own build needs the machine's libraries.
            bind("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "ro"),
            bind("/usr/lib64", "/lib64", "ro"),
        ],
        "linux": {
            "namespaces": spaces,
            "cgroupsPath": "/telltale-container",
            "resources": { "memory": { "limit": MEMORY }, "cpu": { "quota": 50_000, "period": 100_000 } },
        },
    }))
}

/// Boots the disk and holds what the machine tells against what is to be.
fn drive(disk: &Path, log: &Path) -> Result<()> {
    let mut machine = Machine::boot_system(disk, log)?;
    loop {
        let said = machine.console.next(STEP)?;
        if said.word == "done" {
            break;
        }
        let holds = holds(&said.word, &said.rest)
            .with_context(|| format!("the machine said @{} {}", said.word, said.rest))?;
        println!("{holds}");
    }
    machine.wait(STEP)
}

/// What a word of the machine shows; an error if it shows something else.
fn holds(word: &str, rest: &str) -> Result<String> {
    let words: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| -> Result<u64> {
        words.get(at).and_then(|word| word.parse().ok()).with_context(|| format!("word {at} is no number"))
    };
    let holds = |condition: bool, what: String| {
        ensure!(condition, "this is not so: {what}");
        Ok(what)
    };
    let is = |expected: &[&str], what: &str| holds(words.starts_with(expected), what.to_owned());
    match word {
        "up" => Ok(format!("booted: Linux {rest}")),
        "installed" => is(&["inactive", "4194304"], "installed, not started; the receive buffer is allowed"),
        "started" => holds(words[0] == "active", format!("started and told so after {} ms", number(1)?)),
        "rights" => is(
            &["telltale", "0000000000000000", "0000000000000000", "1", "2"],
            "its own user, no capability, no new privileges, system calls filtered",
        ),
        "writable" => holds(rest == "/var/lib/telltale", "can write to /var/lib/telltale alone".to_owned()),
        "bounds" => is(&["67108864", "50000/100000", "32"], "64 MB, half a core, 32 tasks"),
        "heard" => {
            let memory = number(1)? as f64 / 1e6;
            holds(
                number(0)? == 5_000 && memory < 64.0,
                format!("heard 5000 of 5000 frames; its control group holds {memory:.1} MB"),
            )
        }
        "reloaded" => holds(
            number(0)? == number(1)? && words.get(2) == Some(&"active") && number(3)? == 1,
            "reloaded by systemctl; a broken configuration was refused, and the same process goes on"
                .to_owned(),
        ),
        "fed" => holds(number(0)? > 4_000_000 && number(1)? == 0, "fed a watchdog of 4 s for 9 s".to_owned()),
        "bitten" => {
            holds(number(0)? >= 1 && number(1)? >= 1, "hung, it was ended and started again".to_owned())
        }
        "oom" => holds(number(0)? >= 1, "with 1 MB the kernel ended it, and nothing else".to_owned()),
        "stopped" => holds(
            words.starts_with(&["success", "0"]) && number(2)? < 5_000 && number(3)? == 1_000,
            format!("heard 1000 more, and ended well {} ms after SIGTERM", number(2)?),
        ),
        "removed" => is(&["inactive", "gone", "kept"], "removed; the configuration is kept"),
        "contained" => holds(
            words.starts_with(&["2000", "65532", "0000000000000000", "1", "67108864"])
                && words.get(5).is_some_and(|options| options.starts_with("ro")),
            "the image under crun: heard 2000 of 2000 frames, user 65532, no capability, 64 MB, read-only root"
                .to_owned(),
        ),
        "ended" => holds(number(0)? > 0, "ended by SIGTERM; its spool is in the state's folder".to_owned()),
        other => bail!("nobody knows the word {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_is_told() {
        assert!(holds("heard", "5000 9000000 {}").unwrap().contains("9.0 MB"));
        for (word, rest, said) in [
            ("heard", "4999 9000000 {}", "this is not so"),
            ("rights", "root 0000000000000000 0000000000000000 1 2", "its own user"),
            ("writable", "/var/lib /var/lib/telltale", "alone"),
            ("bitten", "0 0", "hung"),
            ("stopped", "success 0 9000 1000", "SIGTERM"),
            ("stopped", "watchdog 0 9 1000", "SIGTERM"),
            ("contained", "2000 0 0000000000000000 1 67108864 ro", "65532"),
            ("contained", "2000 65532 0000000000000000 1 67108864 rw,relatime", "read-only"),
            ("removed", "inactive gone lost", "kept"),
            ("oom", "", "word 0"),
            ("hello", "", "nobody knows"),
        ] {
            let error = holds(word, rest).unwrap_err().to_string();
            assert!(error.contains(said), "{word}: {error}");
        }
    }

    #[test]
    fn the_container_has_the_settings_of_the_manifest() {
        let manifest = fs::read_to_string(shell::root().join(MANIFEST)).unwrap();
        let image = json!({ "config": { "User": "65532:65532", "Entrypoint": ["/usr/bin/telltale"], "Cmd": ["run"] } });
        let config = runtime(&image, &manifest).unwrap();
        assert_eq!(config["process"]["args"], json!(["/usr/bin/telltale", "run"]));
        assert!(runtime(&image, &manifest.replace("64Mi", "128Mi")).is_err());
        let root = json!({ "config": { "User": "0" } });
        assert!(runtime(&root, &manifest).unwrap_err().to_string().contains("user is 0"));
    }
}
