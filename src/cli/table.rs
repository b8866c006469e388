//! Lists: fitted to the terminal for a person, TAB between the columns for a pipe.

use std::io::{self, Write};

use comfy_table::{Color, ContentArrangement};

use crate::cli::output::Output;

/// What a cell says beyond its text, where there is color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Somebody must act.
    Bad,
}

impl Tone {
    fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Warning => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
        }
    }
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// The text, fit for one line of a terminal: it may quote a repository or a server.
    fn line(&self) -> String {
        let text = if self.text.is_empty() { "-" } else { self.text.trim() };
        text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Columns and rows.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it; `empty` is what a person reads when there are no rows.
    pub fn write(&self, to: &mut dyn Write, output: Output, empty: &str) -> io::Result<()> {
        if !output.terminal {
            return self.write_plain(to);
        }
        if self.rows.is_empty() {
            return writeln!(to, "{empty}");
        }
        writeln!(to, "{}", self.fitted(output).trim_fmt())
    }

    fn write_plain(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{}", self.header.join("\t"))?;
        for row in &self.rows {
            let cells: Vec<_> = row.iter().map(Cell::line).collect();
            writeln!(to, "{}", cells.join("\t"))?;
        }
        Ok(())
    }

    fn fitted(&self, output: Output) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(self.header.iter().map(comfy_table::Cell::new));
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| {
                let fitted = comfy_table::Cell::new(cell.line());
                match cell.tone.color().filter(|_| output.color) {
                    Some(color) => fitted.fg(color),
                    None => fitted,
                }
            }));
        }
        if output.color {
            table.enforce_styling();
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(output: Output, rows: &[[Cell; 2]]) -> String {
        let mut table = Table::new(&["JOB", "OUTCOME"]);
        for row in rows {
            table.row(row.clone());
        }
        let mut text = Vec::new();
        table.write(&mut text, output, "no jobs").unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn tables_suit_where_they_are_printed() {
        let pipe = Output::default();
        let terminal = Output { terminal: true, ..pipe };
        let color = Output { color: true, ..terminal };
        let rows = [
            ["web-site".into(), Cell::toned("failed", Tone::Bad)],
            ["a\tb\x1b[2J\n".into(), "".into()],
        ];
        assert_eq!(printed(pipe, &rows), "JOB\tOUTCOME\nweb-site\tfailed\na b [2J\t-\n");
        assert_eq!(printed(terminal, &rows), "JOB       OUTCOME\nweb-site  failed\na b [2J   -\n");
        assert!(
            printed(color, &rows).contains("\x1b[38;5;9mfailed"),
            "{:?}",
            printed(color, &rows)
        );
        assert_eq!(printed(pipe, &[]), "JOB\tOUTCOME\n");
        assert_eq!(printed(terminal, &[]), "no jobs\n");
    }
}
