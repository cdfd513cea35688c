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
        // The cursor stands in the row below.
        (usize::from(columns), usize::from(rows.saturating_sub(1)))
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

fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (80, 24),
    }
}
