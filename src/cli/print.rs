//! Text for people: lines with colours that can be cut to a width, and bars. The only place that knows a terminal's
//! codes; everybody else says what a piece of text means.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

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
        let mut text: String = text.into();
        // What a cluster says is not ours: it must not move the cursor or set a title.
        if text.contains(char::is_control) {
            text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        self.0.push((tone, text));
        self
    }

    /// With another line behind what is there.
    pub(super) fn and(mut self, line: Line) -> Self {
        self.0.extend(line.0);
        self
    }

    /// The pieces of text, each with what it means.
    #[cfg(feature = "embedded")]
    pub(super) fn pieces(&self) -> impl Iterator<Item = (Tone, &str)> {
        self.0.iter().map(|(tone, text)| (*tone, text.as_str()))
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
            let style = tone.style();
            // Writing to a string cannot fail.
            let _ = write!(all, "{style}{text}{style:#}");
        }
        all
    }
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Faint => AnsiColor::BrightBlack.on_default(),
            Self::Strong => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Accent => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Where lines are printed: the standard output, be it a terminal or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    colours: bool,
    /// Columns of the terminal; `None` where there is none, and lines may be of any length.
    pub columns: Option<usize>,
}

impl Paper {
    /// The standard output, with colours unless somebody does not want them.
    pub(super) fn of_stdout(no_color: bool) -> Self {
        let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let columns = columns.filter(|columns| *columns > 0 && io::stdout().is_terminal());
        Self { colours: is_colourful(no_color), columns }
    }

    /// Prints the lines. That nobody reads them any more is no error.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn print(self, lines: &[Line]) -> anyhow::Result<()> {
        let text = lines.iter().map(|line| match self.colours {
            true => line.coloured() + "\n",
            false => line.text() + "\n",
        });
        put(&text.collect::<String>())
    }
}

/// Writes `text` to the standard output. That nobody reads it any more is no error.
///
/// # Errors
/// If it cannot be written.
pub(super) fn put(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("the output cannot be written: {why}"))
        }
        _ => Ok(()),
    }
}

/// Writes a line to the standard error. Whoever closed it does not want to hear: the exit status has to say it then.
pub(super) fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The program, if typing its name would not find it.
#[cfg(feature = "embedded")]
pub(super) fn not_on_path() -> Option<std::path::PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join("vexil").is_file());
    std::env::current_exe().ok().filter(|_| !found)
}

/// Whether the standard output is a terminal that shows colours, and nobody minds them.
pub(super) fn is_colourful(no_color: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !no_color && io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

/// How this program is called: as itself, or as a plugin of kubectl.
pub(super) fn program() -> &'static str {
    let name = std::env::args_os().next();
    let name = name.as_deref().map(std::path::Path::new).and_then(std::path::Path::file_stem);
    if name.is_some_and(|name| name == PLUGIN) { "kubectl canary" } else { "vexil" }
}

/// The name of the program as a plugin of kubectl.
pub(super) const PLUGIN: &str = "kubectl-canary";

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
