//! Where the demo is played: lets the cluster's time pass, takes note of what happens, and shows it.

use std::io::{self, Stdout, Write};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::bail;

use crate::cli::picture::lines;
use crate::cli::print::Line;
use crate::sim::World;

use super::picture::{self, Title};
use super::screen::Screen;
use super::shop::{self, APP, NAMESPACE};
use super::stop::Stop;
use super::view::{Seen, View, watch};

/// How fast the cluster's time passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As fast as it can be computed. Needs a paused clock.
    Unlimited,
    /// So many seconds in one of ours. Needs a paused clock.
    Times(f64),
    /// As tokio's clock goes.
    Clock,
}

/// How things are shown.
pub(super) enum Show {
    Picture(Screen<Stdout>),
    Lines(Stdout),
}

/// A world, what is known of it, and where that is shown.
pub(super) struct Stage {
    pub world: World,
    pub view: View,
    /// Without one, it follows from what happens.
    title: Option<Title>,
    show: Show,
    pace: Pace,
    seen: Receiver<Seen>,
    stop: Stop,
}

impl Stage {
    /// Everything that happens in `world` from now on is shown, until `stop` is heard.
    pub(super) fn new(world: World, show: Show, pace: Pace, stop: Stop) -> Self {
        let (view, seen) = watch(&world);
        Self { view, title: None, seen, world, show, pace, stop }
    }

    /// Whether it is shown as a picture.
    pub(super) fn draws(&self) -> bool {
        matches!(self.show, Show::Picture(_))
    }

    /// Begins a new page under this title.
    ///
    /// # Errors
    /// If nothing can be shown any more.
    pub(super) fn begin(&mut self, title: Title) -> anyhow::Result<()> {
        self.view.turn_page();
        if let Show::Lines(out) = &mut self.show {
            let more = if title.more.is_empty() { String::new() } else { format!("\n{}", title.more) };
            write(out, &format!("{}{more}\n\n", title.main))?;
        }
        self.title = Some(title);
        Ok(())
    }

    /// Plays until `over`, at most for `limit` of the cluster's time; whether it was over.
    ///
    /// # Errors
    /// If nothing can be shown any more, or the user has enough.
    pub(super) async fn play(
        &mut self,
        limit: Duration,
        over: impl Fn(&View) -> bool,
    ) -> anyhow::Result<bool> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            self.look()?;
            self.draw()?;
            if over(&self.view) {
                return Ok(true);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            self.frame().await?;
        }
    }

    /// Leaves the page as it is and goes to the next.
    ///
    /// # Errors
    /// If nothing can be shown any more.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        let title = self.title();
        match &mut self.show {
            Show::Picture(screen) => {
                let (columns, _) = screen.room();
                let picture = picture::draw(&self.view, &title, self.world.now(), columns, None);
                screen.keep(&picture).map_err(shown)?;
                std::thread::sleep(PAUSE);
                Ok(())
            }
            Show::Lines(out) => write(out, "\n"),
        }
    }

    /// Lines that stay.
    ///
    /// # Errors
    /// If nothing can be shown any more.
    pub(super) fn say(&mut self, said: &[Line]) -> anyhow::Result<()> {
        match &mut self.show {
            Show::Picture(screen) => screen.say(said).map_err(shown),
            Show::Lines(out) => said.iter().try_for_each(|line| write(out, &format!("{}\n", line.text()))),
        }
    }

    /// Takes note of what happened, and prints it if that is how it is shown.
    fn look(&mut self) -> anyhow::Result<()> {
        let mut changed = false;
        while let Ok(seen) = self.seen.try_recv() {
            changed = true;
            self.take(seen)?;
        }
        // What several objects together say of the traffic can be read only now.
        let weights =
            (changed && self.pace == Pace::Clock).then(|| self.world.weights(NAMESPACE, APP)).flatten();
        match weights {
            Some(weights) if self.view.weights != Some(weights) => {
                self.take(Seen::weights(self.world.now(), weights))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, seen: Seen) -> anyhow::Result<()> {
        let (at, steps) = (seen.at, self.view.steps);
        let news = self.view.take(seen);
        if self.view.steps != steps {
            shop::weather(&self.world, self.view.steps);
        }
        match (&mut self.show, news) {
            (Show::Lines(out), Some(news)) => write(out, &format!("{}\n", lines::line(at, &news))),
            _ => Ok(()),
        }
    }

    fn title(&self) -> Title {
        let follows = || Title { main: format!("{} {}", APP, self.view.versions()), more: String::new() };
        self.title.clone().unwrap_or_else(follows)
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let title = self.title();
        let Show::Picture(screen) = &mut self.show else { return Ok(()) };
        let (columns, rows) = screen.room();
        let picture = picture::draw(&self.view, &title, self.world.now(), columns, Some(rows));
        screen.draw(&picture).map_err(shown)
    }

    /// Lets time pass until there may be something new to show.
    async fn frame(&mut self) -> anyhow::Result<()> {
        match self.pace {
            Pace::Clock => self.pass(CALM_FRAME).await,
            Pace::Unlimited => self.pass(SLICE).await,
            Pace::Times(speed) => {
                std::thread::sleep(FRAME);
                let mut left = FRAME.mul_f64(speed);
                // In slices: what happens at one moment may depend on what was noted of the one before.
                while !left.is_zero() {
                    let slice = left.min(SLICE);
                    self.pass(slice).await?;
                    self.look()?;
                    left -= slice;
                }
                Ok(())
            }
        }
    }

    async fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = self.stop.heard() => bail!(Interrupted),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// The user has seen enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the end")]
pub(super) struct Interrupted;

fn write(out: &mut Stdout, text: &str) -> anyhow::Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(shown)
}

fn shown(error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("nothing can be shown any more")
}

/// Of our time: pictures of a second are 25.
const FRAME: Duration = Duration::from_millis(40);
/// In real time little happens.
const CALM_FRAME: Duration = Duration::from_millis(100);
/// Of the cluster's time.
const SLICE: Duration = Duration::from_millis(500);
/// Of our time, to read how a release ended.
const PAUSE: Duration = Duration::from_millis(1200);
