//! What a person sees of it, in a real browser.

use std::path::Path;
use std::process::{Command, Stdio};

const BROWSER: &str = "/usr/bin/chromium";

/// Looks at the pages of the fleet after all rollouts.
pub(crate) fn look(address: &str) {
    if !Path::new(BROWSER).exists() {
        println!("skipped: {BROWSER} not found: run sudo apt-get install chromium");
        return;
    }
    let profile = tempfile::tempdir().unwrap();
    for (path, parts) in [
        ("/rollouts", &["completed", "stopped", "cell-fault/cell-fault-8.index"][..]),
        (
            "/rollout/8",
            &["vehicles committed", "<svg class=\"bar\"", "<polyline", "the rollout engine", "car-199"],
        ),
        ("/rollout/2", &["golden outputs differ", "stopped", "not begun"]),
        ("/models", &["approved", "ann", "ben"]),
        ("/model/cell-fault/cell-fault-1.index", &["recipe", "a test", "Latency budget"]),
        ("/vehicle/car-000", &["Updates over the air", "cell-fault-8.index", "committed"]),
    ] {
        let page = browse(&format!("{address}{path}"), profile.path());
        for part in parts {
            assert!(page.contains(part), "{path} lacks {part:?}:\n{:.3000}", page);
        }
    }
    if let Some(folder) = std::env::var_os("TELLTALE_SCREENSHOTS") {
        for path in
            ["rollout/7", "rollout/8", "model/cell-fault/cell-fault-1.index", "vehicle/car-000", "rollouts"]
        {
            let file = Path::new(&folder).join(format!("{}.png", path.replace('/', "-")));
            let shot = format!("--screenshot={}", file.display());
            run(&[&shot, "--window-size=1280,1800", &format!("{address}/{path}")], profile.path());
        }
    }
}

/// The document as the browser has it after loading.
fn browse(address: &str, profile: &Path) -> String {
    run(&["--dump-dom", address], profile)
}

fn run(args: &[&str], profile: &Path) -> String {
    let output = Command::new(BROWSER)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
