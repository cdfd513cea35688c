//! A picture in a terminal that is drawn over again in its place. The terminal is left as it was found, whatever
//! happens.

use std::io::{self, Write};

use crossterm::cursor::{Hide, MoveTo, MoveToColumn, MoveUp, Show};
use crossterm::style::{Print, ResetColor};
use crossterm::terminal::{self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::{execute, queue};

use crate::cli::print::Line;

/// The lower part of a terminal.
pub(super) struct Screen<W: Write> {
    out: W,
    /// What stands above the picture, for when all has to be drawn again.
    banner: Vec<Line>,
    size: (u16, u16),
    /// The picture that is on the screen.
    drawn: Vec<String>,
}

impl<W: Write> Screen<W> {
    /// A screen with `banner` at the top.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn open(mut out: W, banner: Vec<Line>) -> io::Result<Self> {
        queue!(out, Hide)?;
        let mut screen = Self { out, banner, size: size(), drawn: Vec::new() };
        screen.print_banner()?;
        screen.out.flush()?;
        Ok(screen)
    }

    /// Columns and rows that a picture may have.
    pub(super) fn room(&self) -> (usize, usize) {
        let (columns, rows) = size();
        let columns = usize::from(columns);
        // The cursor stands in the row below.
        let rows = usize::from(rows).saturating_sub(1);
        let banner: usize = self.banner.iter().map(|line| line.width().div_ceil(columns).max(1)).sum();
        match rows.checked_sub(banner) {
            Some(left) if left >= FEWEST_ROWS => (columns, left),
            _ => (columns, rows),
        }
    }

    /// Shows `picture` in the place of the last one.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn draw(&mut self, picture: &[Line]) -> io::Result<()> {
        let lines: Vec<String> = picture.iter().map(Line::coloured).collect();
        let size = size();
        if size == self.size && lines == self.drawn {
            return Ok(());
        }
        queue!(self.out, BeginSynchronizedUpdate)?;
        if size != self.size {
            // Nobody knows how the terminal has wrapped what was there.
            self.size = size;
            self.drawn.clear();
            queue!(self.out, Clear(ClearType::All), MoveTo(0, 0))?;
            self.print_banner()?;
        }
        match u16::try_from(self.drawn.len()) {
            Ok(0) | Err(_) => {}
            Ok(rows) => queue!(self.out, MoveToColumn(0), MoveUp(rows))?,
        }
        for line in &lines {
            queue!(self.out, Print(line), ResetColor, Clear(ClearType::UntilNewLine), Print("\r\n"))?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        self.out.flush()?;
        self.drawn = lines;
        Ok(())
    }

    /// Leaves `picture` where it is; the next one comes below it.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn keep(&mut self, picture: &[Line]) -> io::Result<()> {
        self.draw(picture)?;
        self.drawn.clear();
        self.banner.clear();
        queue!(self.out, Print("\r\n"))?;
        self.out.flush()
    }

    /// Prints lines that stay, below the last picture that was kept.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(super) fn say(&mut self, lines: &[Line]) -> io::Result<()> {
        self.draw(lines)?;
        self.drawn.clear();
        Ok(())
    }

    fn print_banner(&mut self) -> io::Result<()> {
        for line in &self.banner {
            queue!(self.out, Print(line.coloured()), ResetColor, Print("\r\n"))?;
        }
        Ok(())
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // The terminal may be gone; there is nothing to be done about it.
        let _ = execute!(self.out, EndSynchronizedUpdate, ResetColor, Show);
    }
}

/// A picture that is smaller tells too little: then what stands above may go.
const FEWEST_ROWS: usize = 15;

fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a screen writes while `play` uses it, piece by piece.
    fn written(play: impl FnOnce(&mut Screen<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::open(&mut out, vec!["banner".into()]).expect("memory can be written to");
        play(&mut screen);
        drop(screen);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_terminal_is_left_as_it_was_found() {
        let text = written(|_| {});
        assert!(text.starts_with("\u{1b}[?25l"), "{text:?}");
        assert!(text.ends_with("\u{1b}[?25h"), "{text:?}");
    }

    #[test]
    fn a_picture_is_drawn_over_the_one_before() {
        let text = written(|screen| {
            screen.draw(&["one".into(), "two".into()]).expect("written");
            screen.draw(&["three".into()]).expect("written");
        });
        let (_, second) = text.split_once("two").expect("the first picture");
        assert!(second.contains("\u{1b}[2A"), "two rows up: {second:?}");
        assert!(second.contains("three"), "{second:?}");
        assert_eq!(1, text.matches("banner").count());
    }

    #[test]
    fn a_picture_that_is_there_already_is_not_drawn_again() {
        let text = written(|screen| {
            screen.draw(&["one".into()]).expect("written");
            screen.draw(&["one".into()]).expect("written");
        });
        assert_eq!(1, text.matches("one").count());
    }

    #[test]
    fn a_picture_that_is_kept_is_not_drawn_over() {
        let text = written(|screen| {
            screen.keep(&["one".into()]).expect("written");
            screen.draw(&["two".into()]).expect("written");
        });
        let (_, second) = text.split_once("one").expect("the first picture");
        assert!(!second.contains("A"), "no way up: {second:?}");
    }
}
