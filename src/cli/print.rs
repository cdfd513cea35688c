//! Text for people: lines with colours that can be cut to a width, and bars. The only place that knows a terminal's
//! codes; everybody else says what a piece of text means.

use std::fmt::Write as _;

use crossterm::style::Stylize;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// Worth less than the rest.
    Faint,
    Strong,
    Good,
    Bad,
    Warning,
    /// Something to type, or the thing that the line is about.
    Accent,
}

/// One line of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Tone, String)>);

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// With `text` behind what is there.
    pub(super) fn with(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    pub(super) fn plain(self, text: impl Into<String>) -> Self {
        self.with(Tone::Plain, text)
    }

    /// How many columns it takes. All our characters take one.
    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// Filled with spaces to `width` columns.
    pub(super) fn padded(self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.plain(" ".repeat(missing))
    }

    /// With `end` at its right side, as far as `width` allows; at least a space is between them.
    pub(super) fn with_end(self, end: Line, width: usize) -> Self {
        let start = width.saturating_sub(end.width()).max(self.width() + 1);
        let mut line = self.padded(start);
        line.0.extend(end.0);
        line
    }

    /// Cut to `width` columns; a mark tells that something is missing.
    pub(super) fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut pieces = Vec::new();
        for (tone, text) in self.0 {
            let piece: String = text.chars().take(left).collect();
            left -= piece.chars().count();
            pieces.push((tone, piece));
            if left == 0 {
                break;
            }
        }
        if width > 0 {
            pieces.push((Tone::Faint, "…".to_owned()));
        }
        Self(pieces)
    }

    /// Without colours.
    pub(super) fn text(&self) -> String {
        let text: String = self.0.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// With a terminal's codes.
    pub(super) fn coloured(&self) -> String {
        let mut all = String::new();
        for (tone, text) in &self.0 {
            let text = text.as_str();
            // Writing to a string cannot fail.
            let _ = match tone {
                Tone::Plain => write!(all, "{text}"),
                Tone::Faint => write!(all, "{}", text.dark_grey()),
                Tone::Strong => write!(all, "{}", text.bold()),
                Tone::Good => write!(all, "{}", text.green()),
                Tone::Bad => write!(all, "{}", text.red()),
                Tone::Warning => write!(all, "{}", text.yellow()),
                Tone::Accent => write!(all, "{}", text.cyan()),
            };
        }
        all
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().plain(text)
    }
}

/// Words on lines of at most `width` columns. A word that is longer has a line of its own.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The full and the empty part of a bar of `width` columns. What is more than nothing shows, and what is less than
/// everything as well.
pub(super) fn bar(percent: u32, width: usize, full: char, empty: char) -> (String, String) {
    let percent = percent.min(100) as usize;
    let exact = (width * percent + 50) / 100;
    let filled = match percent {
        0 => 0,
        100 => width,
        _ => exact.clamp(1.min(width), width.saturating_sub(1).max(1.min(width))),
    };
    (full.to_string().repeat(filled), empty.to_string().repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "....................")]
    #[case(1, "#...................")]
    #[case(50, "##########..........")]
    #[case(90, "##################..")]
    #[case(99, "###################.")]
    #[case(100, "####################")]
    #[case(300, "####################")]
    fn a_bar_shows_little_and_nearly_all(#[case] percent: u32, #[case] expected: &str) {
        let (full, empty) = bar(percent, 20, '#', '.');
        assert_eq!(expected, full + &empty);
    }

    #[rstest]
    #[case(0)]
    #[case(1)]
    #[case(2)]
    fn a_bar_without_room_is_no_panic(#[case] width: usize) {
        for percent in [0, 1, 50, 99, 100] {
            let (full, empty) = bar(percent, width, '#', '.');
            assert_eq!(width, full.len() + empty.len());
        }
    }

    #[rstest]
    #[case(20, "one two three")]
    #[case(13, "one two three")]
    #[case(9, "one two …")]
    #[case(4, "one…")]
    #[case(1, "…")]
    #[case(0, "")]
    fn a_line_is_cut_where_the_terminal_ends(#[case] width: usize, #[case] expected: &str) {
        let line = Line::from("one ").with(Tone::Good, "two ").plain("three").cut(width);
        assert_eq!(expected, line.text());
        assert!(line.width() <= width);
    }

    #[test]
    fn the_end_of_a_line_stands_at_the_right() {
        let line = Line::from("left").with_end("right".into(), 12);
        assert_eq!("left   right", line.text());
        assert_eq!("left right", Line::from("left").with_end("right".into(), 3).text());
    }

    #[test]
    fn words_are_wrapped_and_never_lost() {
        assert_eq!(vec!["one two", "three"], wrap("one two three", 8));
        assert_eq!(vec!["unbreakable", "word"], wrap("unbreakable word", 4));
        assert_eq!(vec![""], wrap("", 4));
    }
}
