//! What `vexil watch` shows in a terminal, and what its keys do: state and drawing, without a terminal.

use chrono::{DateTime, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::Paragraph;

use crate::cli::print::{Line, Tone};
use crate::model::by_hand::Action;

use super::super::get::{Columns, table};
use super::super::known::Known;
use super::super::sight::Sight;
use super::super::tree;

/// The board.
#[derive(Default)]
pub(super) struct Board {
    pub page: Page,
    colours: bool,
    /// The question that has to be answered first.
    question: Option<(Action, String, String)>,
    /// What became of the last request, or what is wrong.
    note: Option<(Tone, String)>,
    scroll: usize,
}

/// What is on the board.
#[derive(Default)]
pub(super) enum Page {
    /// Nothing is known yet.
    #[default]
    Empty,
    /// All Canaries, and the one that is marked.
    List { canaries: Vec<Known>, marked: usize, everywhere: bool },
    /// One release.
    One { sight: Box<Sight>, can_go_back: bool },
    /// A Canary that was deleted.
    Gone { title: String, can_go_back: bool },
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Leave,
    /// Show the release of this name and namespace.
    Open(String, String),
    /// Show the list again.
    Back,
    /// Ask the controller, for the Canary of this name and namespace.
    Request(Action, String, String),
}

impl Board {
    /// A board with nothing on it.
    pub(super) fn new(colours: bool) -> Self {
        Self { colours, ..Self::default() }
    }

    /// Does what a key asks for; what is left to do is answered.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Deed> {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Deed::Leave);
        }
        if let Some((action, name, namespace)) = self.question.take() {
            if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                return Some(Deed::Request(action, name, namespace));
            }
            self.note = Some((Tone::Faint, format!("{} {name}: not asked", action.as_str())));
            return None;
        }
        self.note = None;
        match key.code {
            KeyCode::Char('q') => Some(Deed::Leave),
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.back(),
            KeyCode::Enter | KeyCode::Right => {
                let (name, namespace) = self.subject()?;
                matches!(self.page, Page::List { .. }).then_some(Deed::Open(name, namespace))
            }
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(10),
            KeyCode::PageUp => self.step(-10),
            KeyCode::Char(letter) => {
                let (_, action) = KEYS.into_iter().find(|(known, _)| *known == letter)?;
                let (name, namespace) = self.subject()?;
                if matches!(action, Action::Promote | Action::Abort) {
                    self.question = Some((action, name, namespace));
                    return None;
                }
                Some(Deed::Request(action, name, namespace))
            }
            _ => None,
        }
    }

    /// Says something in the last line, until the next key.
    pub(super) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.note = Some((tone, text.into()));
    }

    /// Begins at the top.
    pub(super) fn turn_to(&mut self, page: Page) {
        self.page = page;
        self.scroll = 0;
        self.question = None;
    }

    fn back(&mut self) -> Option<Deed> {
        match self.page {
            Page::One { can_go_back: true, .. } | Page::Gone { can_go_back: true, .. } => Some(Deed::Back),
            _ => None,
        }
    }

    fn step(&mut self, by: isize) -> Option<Deed> {
        match &mut self.page {
            Page::List { canaries, marked, .. } => {
                *marked = marked.saturating_add_signed(by).min(canaries.len().saturating_sub(1));
            }
            _ => self.scroll = self.scroll.saturating_add_signed(by),
        }
        None
    }

    /// Name and namespace of the Canary that keys are for.
    fn subject(&self) -> Option<(String, String)> {
        match &self.page {
            Page::List { canaries, marked, .. } => {
                canaries.get(*marked).map(|known| (known.name.clone(), known.namespace.clone()))
            }
            Page::One { sight, .. } => Some((sight.name.clone(), sight.namespace.clone())),
            Page::Empty | Page::Gone { .. } => None,
        }
    }

    /// Draws the board as it is at `now`.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, now: DateTime<Utc>) {
        let [body, foot] = Layout::vertical([Constraint::Min(0), Constraint::Length(2)]).areas(frame.area());
        let (columns, rows) = (usize::from(body.width), usize::from(body.height));
        let (lines, marked) = self.lines(now, columns, rows);
        // A mark or a scroll that would leave nothing to be seen ends at the last page.
        let least = marked.map_or(0, |marked| (marked + 1).saturating_sub(rows));
        self.scroll = self.scroll.max(least).min(lines.len().saturating_sub(rows));
        if let Some(marked) = marked {
            self.scroll = self.scroll.min(marked.saturating_sub(1));
        }
        let more = lines.len() > self.scroll + rows;
        let shown = lines.iter().enumerate().skip(self.scroll).take(rows);
        let text: Vec<Text<'_>> = shown
            .map(|(index, line)| {
                let text = self.text(line);
                if Some(index) == marked {
                    text.style(Style::new().add_modifier(Modifier::REVERSED))
                } else {
                    text
                }
            })
            .collect();
        frame.render_widget(Paragraph::new(text), body);
        let foot_lines: Vec<Text<'_>> =
            self.foot(usize::from(foot.width), more).iter().map(|line| self.text(line)).collect();
        frame.render_widget(Paragraph::new(foot_lines), foot);
    }

    /// The lines of the page, and the one that is marked.
    fn lines(&self, now: DateTime<Utc>, columns: usize, rows: usize) -> (Vec<Line>, Option<usize>) {
        let cut = |lines: Vec<Line>| lines.into_iter().map(|line| line.cut(columns)).collect();
        match &self.page {
            Page::Empty => (vec!["…".into()], None),
            Page::List { canaries, .. } if canaries.is_empty() => (
                vec![Line::from("There is no Canary yet. One that is made appears here.").cut(columns)],
                None,
            ),
            Page::List { canaries, marked, everywhere } => {
                let columns = Columns { namespace: *everywhere, wide: false };
                (cut(table(canaries, columns, now)), Some(marked + 1))
            }
            Page::One { sight, .. } => {
                // The newest events are worth more than old ones below the edge.
                let mut lines = tree::draw(sight, now, columns, EVENTS[0]);
                for events in EVENTS.into_iter().skip(1) {
                    if lines.len() <= rows {
                        break;
                    }
                    lines = tree::draw(sight, now, columns, events);
                }
                (lines, None)
            }
            Page::Gone { title, .. } => {
                (vec![Line::new().with(Tone::Warning, format!("{title} was deleted.")).cut(columns)], None)
            }
        }
    }

    /// What keys there are, and above them a question or what became of the last.
    fn foot(&self, columns: usize, more: bool) -> [Line; 2] {
        if let Some((action, name, namespace)) = &self.question {
            let what = match action {
                Action::Promote => "without further checks and gates",
                _ => "all traffic goes back to the primary",
            };
            let ask = format!("{} {name}.{namespace}: {what}? y/n", action.as_str());
            return [Line::new().with(Tone::Warning, ask).cut(columns), Line::new()];
        }
        let note = match &self.note {
            Some((tone, text)) => Line::new().with(*tone, text),
            None if more => Line::new().with(Tone::Faint, "↓ more below"),
            None => Line::new(),
        };
        let mut keys = match self.page {
            Page::List { .. } => "↑↓ choose  enter open".to_owned(),
            Page::One { can_go_back: true, .. } | Page::Gone { can_go_back: true, .. } => {
                "esc list".to_owned()
            }
            _ => String::new(),
        };
        for (letter, action) in KEYS {
            keys = format!("{keys}  {letter} {}", action.as_str());
        }
        let keys = Line::new().with(Tone::Faint, format!("{}  q leave", keys.trim_start()));
        [note.cut(columns), keys.cut(columns)]
    }

    fn text(&self, line: &Line) -> Text<'static> {
        let style = |tone: Tone| {
            let colour = match tone {
                Tone::Plain => return Style::new(),
                Tone::Strong => return Style::new().add_modifier(Modifier::BOLD),
                Tone::Faint => Color::DarkGray,
                Tone::Good => Color::Green,
                Tone::Bad => Color::Red,
                Tone::Warning => Color::Yellow,
                Tone::Accent => Color::Cyan,
            };
            if self.colours { Style::new().fg(colour) } else { Style::new() }
        };
        line.pieces().map(|(tone, text)| Span::styled(text.to_owned(), style(tone))).collect()
    }
}

/// The keys for requests. Those that cannot be taken back are asked again.
const KEYS: [(char, Action); 6] = [
    ('p', Action::Pause),
    ('r', Action::Resume),
    ('a', Action::Approve),
    ('m', Action::Promote),
    ('x', Action::Abort),
    ('t', Action::Retry),
];

/// How many events are shown: as many as there is room for, of these numbers.
const EVENTS: [usize; 6] = [50, 30, 20, 12, 8, 5];

#[cfg(test)]
mod tests;
