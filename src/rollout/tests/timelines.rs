//! Whole releases tick by tick, as the chapter of the specification tells them (spec 02 §2). Each test is a table:
//! the tick, the phase, the shares of primary and canary, weight, iterations and failed checks in the status, and
//! then what was heard: `?` a hook that was called, `!` a warning, `@` an alert, `=` the end that is counted, and plain events. Lines that begin
//! with `--` say what somebody does between two ticks. With session affinity the cookies follow the counters (the
//! run's, the last run's, the primary's), and `>` is a write of the routes: the cookies that keep a client on its
//! side, or the one that clients are told to forget.

use chrono::TimeDelta;

use crate::model::release::Release;
use crate::model::traffic::{Capabilities, Cookies};

use super::super::RoutesSeen;
use super::super::question::Ask;
use super::super::step::EventKind;
use super::super::testing::Stage;

mod ab_testing;
mod affinity;
mod blue_green;
mod gates;
mod mirroring;
mod skipped;
mod weighted;

/// A release as it goes, line by line.
struct Timeline {
    stage: Stage,
    tick: usize,
    lines: Vec<String>,
}

impl Timeline {
    /// A release whose new revision is seen at tick 0.
    fn of(release: Release, capabilities: Capabilities) -> Self {
        let stage = Stage::initialized(release, capabilities);
        Self { stage, tick: 0, lines: Vec::new() }.pushed("vx1-b")
    }

    /// A release whose hooks `closed` say no from its beginning.
    fn behind(closed: &[&str], release: Release, capabilities: Capabilities) -> Self {
        let mut stage = Stage::initialized(release, capabilities);
        stage.closed = closed.iter().map(|&name| name.to_owned()).collect();
        Self { stage, tick: 0, lines: Vec::new() }.pushed("vx1-b")
    }

    /// The user gives the target another revision, which is seen at once.
    fn pushed(mut self, revision: &str) -> Self {
        self.stage.push(revision);
        self.stage.settle();
        self.row(&self.tick.to_string());
        self.settled()
    }

    /// `count` intervals pass.
    fn ticks(mut self, count: usize) -> Self {
        for _ in 0..count {
            self.tick += 1;
            self.stage.tick();
            self.row(&self.tick.to_string());
            self = self.settled();
        }
        self
    }

    /// Something happens before the next tick.
    fn when(mut self, what: &str, change: impl FnOnce(&mut Stage)) -> Self {
        self.lines.push(format!("-- {what}"));
        change(&mut self.stage);
        self
    }

    /// Holds what happened against a table. Gives the stage back, for what stands in no table.
    fn shows(self, table: &str) -> Stage {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected: Vec<String> = table.lines().map(words).filter(|line| !line.is_empty()).collect();
        let happened: Vec<String> = self.lines.iter().map(|line| words(line)).collect();
        assert!(happened == expected, "what happened:\n{}\nwhat was expected:{table}", self.lines.join("\n"));
        self.stage
    }

    /// Pods that lost their traffic go when the proxies have heard of it.
    fn settled(mut self) -> Self {
        if self.stage.world.status.settling().is_some() {
            self.stage.advance(TimeDelta::seconds(5));
            self.stage.settle();
            self.row("+5s");
        }
        self
    }

    fn row(&mut self, tick: &str) {
        let status = &self.stage.world.status;
        let routes = match &self.stage.world.routes {
            RoutesSeen::Seen { state, .. } => {
                let mirror = if state.mirrored { " mirror" } else { "" };
                format!("{}/{}{mirror}", state.split.primary(), state.split.canary())
            }
            _ => "-".to_owned(),
        };
        let state = format!(
            "{tick:>3} {:<16} {routes:<12} {:>3} {} {}",
            status.phase.as_str(),
            status.canary_weight,
            status.iterations,
            status.failed_checks
        );
        let cookies = [
            &status.session_affinity_cookie,
            &status.previous_session_affinity_cookie,
            &status.primary_session_affinity_cookie,
        ];
        let state = match &self.stage.world.release.analysis.session_affinity {
            Some(_) => format!("{state} {}", cookies.map(shown).join(" ")),
            None => state,
        };
        let heard = self.heard();
        let first = heard.first().map_or("", String::as_str);
        self.lines.push(format!("{state}  {first}").trim_end().to_owned());
        let rest = heard.iter().skip(1).map(|text| format!("{:width$}  {text}", "", width = state.len()));
        self.lines.extend(rest);
    }

    /// Hooks, events and alerts since the last row.
    fn heard(&mut self) -> Vec<String> {
        let stage = &mut self.stage;
        let hooks = &stage.world.release.analysis.hooks;
        let calls = stage.asked.iter().filter_map(|ask| match ask {
            Ask::Hook { index, .. } => Some(format!("? {}", hooks[*index].name)),
            _ => None,
        });
        let events = stage.events.iter().map(|event| match event.kind {
            EventKind::Normal => event.message.clone(),
            EventKind::Warning | EventKind::Error => format!("! {}", event.message),
        });
        let alerts = stage.alerts.iter().map(|alert| format!("@ {:?} {}", alert.severity, alert.message));
        let affine = stage.world.release.analysis.session_affinity.is_some();
        let routes = stage.routed.iter().filter(|_| affine).map(|wish| {
            let Cookies { canary, primary, previous } = &wish.cookies;
            let rules = match wish.split.canary() {
                0 => format!("forget {}", shown(previous)),
                _ => format!("keep {} {}", shown(canary), shown(primary)),
            };
            format!("> {}/{} {rules}", wish.split.primary(), wish.split.canary())
        });
        let ends = stage.outcomes.iter().map(|outcome| format!("= {outcome:?}"));
        let heard = calls.chain(routes).chain(events).chain(alerts).chain(ends).collect();
        stage.forget();
        heard
    }
}

fn shown(cookie: &Option<String>) -> String {
    cookie.clone().unwrap_or_else(|| "-".to_owned())
}
