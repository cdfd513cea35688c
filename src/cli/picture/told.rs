//! What was said of a release, as the lower part of a picture.

use chrono::{DateTime, Utc};

use crate::cli::print::{Line, Tone, wrap};

use super::words;

/// Something that was said of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Event {
    pub at: DateTime<Utc>,
    pub warning: bool,
    pub message: String,
    /// How often it was said in a row.
    pub times: u32,
}

/// The last of the events, as many as `room` lines can show.
pub(in crate::cli) fn events(events: &[Event], columns: usize, room: usize) -> Vec<Line> {
    let mut left = room;
    let mut shown: Vec<Vec<Line>> = Vec::new();
    for event in events.iter().rev() {
        let lines = self::event(event, columns);
        let Some(rest) = left.checked_sub(lines.len()) else { break };
        left = rest;
        shown.push(lines);
    }
    shown.into_iter().rev().flatten().collect()
}

fn event(event: &Event, columns: usize) -> Vec<Line> {
    let time = words::clock(event.at);
    let tone = if event.warning { Tone::Warning } else { Tone::Plain };
    let indent = time.len() + 4;
    let message = match event.times {
        1 => event.message.clone(),
        times => format!("{} ({times} times)", event.message),
    };
    wrap(&message, columns.saturating_sub(indent))
        .into_iter()
        .enumerate()
        .map(|(index, text)| {
            let time = if index == 0 { time.as_str() } else { "" };
            Line::new().with(Tone::Faint, format!("  {time:<8}  ")).with(tone, text)
        })
        .collect()
}
