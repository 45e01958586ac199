//! The terminal that indicatif draws progress on: stderr, with a cursor that stays at the start of its line.

use std::io::{self, Write as _};

use indicatif::TermLike;

use crate::types::mutex::Mutex;

/// Width and height of a terminal that does not tell its size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// A terminal whose cursor rests at the start of the line, not behind it.
///
/// The line is as wide as the terminal. Behind it, the `^C` that the terminal shows when that key is
/// typed would begin a new line, and the bar above would stay for good.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    /// What was written since the last flush: a drawing is written at once, so that none flickers.
    drawing: Mutex<String>,
}

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        self.drawing.lock().push_str(text);
        Ok(())
    }

    /// Moves the cursor; a distance of 0 would count as 1.
    fn go(&self, distance: usize, direction: char) -> io::Result<()> {
        match distance {
            0 => Ok(()),
            _ => self.add(&format!("\x1b[{distance}{direction}")),
        }
    }
}

fn size() -> (u16, u16) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => USUAL_SIZE,
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawing = std::mem::take(&mut *self.drawing.lock());
        if drawing.is_empty() {
            return Ok(());
        }
        drawing.push('\r');
        let mut stderr = io::stderr().lock();
        stderr.write_all(drawing.as_bytes())?;
        stderr.flush()
    }
}
