//! `telltale top`: the vehicle's agent, live, on one screen. It asks over the control socket as `status` does, so that
//! an engineer's build watches the lean one of the vehicle.

mod page;

use crate::control::{self, Request};
use crate::status::StatusReport;
use anyhow::Context as _;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// What is on the screen.
#[derive(Default)]
pub(crate) struct Screen {
    status: StatusReport,
    /// Why the latest question had no answer.
    trouble: Option<String>,
    /// Signals that are scrolled over.
    scroll: usize,
    /// Only signals without a usable value.
    absent_only: bool,
}

impl Screen {
    fn ask(&mut self, socket: &Path) {
        match fetch(socket) {
            Ok(status) => {
                self.status = status;
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
    }

    /// Takes a key; true if it ends the view.
    fn press(&mut self, code: KeyCode, modifiers: KeyModifiers) -> bool {
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::Home => self.scroll = 0,
            KeyCode::Char('a') => {
                self.absent_only = !self.absent_only;
                self.scroll = 0;
            }
            _ => {}
        }
        self.scroll = self.scroll.min(self.listed().count().saturating_sub(1));
        false
    }

    /// The signals that the list shows, scrolled ones included.
    fn listed(&self) -> impl Iterator<Item = &crate::status::SignalFacts> {
        self.status.signals.iter().filter(|signal| !self.absent_only || signal.absent.is_some())
    }
}

fn fetch(socket: &Path) -> anyhow::Result<StatusReport> {
    let answer = control::ask(socket, &Request::Status)?;
    serde_json::from_value(answer).context("the agent's answer is of another version")
}

/// One frame as text, `width` by `height`.
///
/// # Errors
/// If the agent does not answer.
pub(crate) fn once(socket: &Path, width: u16, height: u16) -> anyhow::Result<String> {
    let screen = Screen { status: fetch(socket)?, ..Screen::default() };
    frame(&screen, width, height)
}

fn frame(screen: &Screen, width: u16, height: u16) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(|frame| page::draw(frame, screen))?;
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width));
    let text =
        |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    Ok(rows.map(|row| format!("{}\n", text(row).trim_end())).collect())
}

/// The live view, until `q`. The terminal is given back as it was, after a panic as well.
///
/// # Errors
/// If there is no terminal, or it refuses.
pub(crate) fn live(socket: &Path, refresh: Duration) -> anyhow::Result<()> {
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "standard output is no terminal: --once prints one frame as text"
    );
    // Asked before the screen is taken: a socket that is not there is told where it can be read.
    let mut screen = Screen { status: fetch(socket)?, ..Screen::default() };
    // Sets a panic hook that restores the terminal first.
    let mut terminal = ratatui::try_init().context("the terminal can't be taken")?;
    let watched = watch(&mut terminal, &mut screen, socket, refresh);
    ratatui::try_restore().context("the terminal can't be given back: try `reset`")?;
    watched
}

fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    screen: &mut Screen,
    socket: &Path,
    refresh: Duration,
) -> anyhow::Result<()> {
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| page::draw(frame, screen))?;
        if event::poll(refresh.saturating_sub(asked.elapsed()))? {
            if let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && screen.press(key.code, key.modifiers)
            {
                return Ok(());
            }
        } else {
            screen.ask(socket);
            asked = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{
        BusFacts, LaneFacts, ModelFacts, SignalFacts, SpoolFacts, SubjectFacts, UplinkFacts,
    };

    fn screen() -> Screen {
        let signal = |n: usize| SignalFacts {
            signal: format!("Vehicle.Cell{n}.Voltage"),
            value: (n != 3).then_some(3.7),
            unit: "V".into(),
            absent: (n == 3).then(|| "sensor fault".into()),
            age_s: (n != 3).then_some(0.25),
        };
        let mut status = StatusReport {
            buses: vec![BusFacts {
                name: "bms".into(),
                interface: "can0".into(),
                frames: 1_234,
                frames_per_s: Some(98.6),
                state: "error passive".into(),
                load: Some(0.42),
                tx_errors: Some(136),
                rx_errors: Some(3),
                ..BusFacts::default()
            }],
            signals: (1..=40).map(signal).collect(),
            models: vec![ModelFacts {
                name: "cell-fault".into(),
                subjects: vec![
                    SubjectFacts {
                        subject: "Cell1".into(),
                        verdict: "nominal".into(),
                        score: Some(0.01),
                        why: None,
                        ..SubjectFacts::default()
                    },
                    SubjectFacts {
                        subject: "Cell42".into(),
                        verdict: "anomalous".into(),
                        score: Some(0.97),
                        why: None,
                        ..SubjectFacts::default()
                    },
                ],
                ..ModelFacts::default()
            }],
            spool: Some(SpoolFacts {
                lanes: vec![LaneFacts {
                    lane: "critical".into(),
                    waiting: 5,
                    cap_bytes: 1 << 20,
                    disk_bytes: 1 << 19,
                    ..LaneFacts::default()
                }],
                ..SpoolFacts::default()
            }),
            uplink: Some(UplinkFacts {
                state: "held".into(),
                trouble: Some("connecting failed".into()),
                ..UplinkFacts::default()
            }),
            ..StatusReport::default()
        };
        status.agent.vehicle = "demo-01".into();
        status.capture.state = "running".into();
        Screen { status, ..Screen::default() }
    }

    #[test]
    fn a_frame_tells_what_matters() {
        let text = frame(&screen(), 100, 40).unwrap();
        for expected in [
            "demo-01",
            "running",
            "bms",
            "can0",
            "99/s",
            "42 %",
            "error passive",
            "Cell42",
            "0.970",
            "critical",
            "held",
            "connecting failed",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
        assert!(text.contains("Cell1.Voltage") && text.contains("sensor fault"), "{text}");
    }

    #[test]
    fn it_fits_any_terminal() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
            frame(&screen(), width, height).unwrap();
            frame(&Screen::default(), width, height).unwrap();
        }
    }

    #[test]
    fn keys_scroll_filter_and_end() {
        let mut screen = screen();
        let none = KeyModifiers::NONE;
        for _ in 0..100 {
            assert!(!screen.press(KeyCode::Down, none));
        }
        assert_eq!(screen.scroll, 39);
        assert!(frame(&screen, 100, 40).unwrap().contains("Cell40.Voltage"));
        screen.press(KeyCode::Char('a'), none);
        assert_eq!((screen.scroll, screen.listed().count()), (0, 1));
        assert!(!screen.press(KeyCode::Char('c'), none));
        assert!(screen.press(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(screen.press(KeyCode::Char('q'), none));
    }
}
