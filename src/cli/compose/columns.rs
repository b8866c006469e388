//! Aligned columns, as Go's tabwriter sets them for docker compose.

use std::io::{self, Write};

/// How wide columns are at least, and what stands between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// Least width of a column, its padding included.
    pub(super) least: usize,
    /// Blanks after the widest cell.
    pub(super) padding: usize,
}

/// `ps` and `stats`.
pub(super) const NARROW: Columns = Columns { least: 10, padding: 3 };
/// `ls` and `images`.
pub(super) const WIDE: Columns = Columns { least: 20, padding: 3 };
/// `top`.
pub(super) const TIGHT: Columns = Columns { least: 4, padding: 2 };

impl Columns {
    /// Prints rows; the last cell of each stays as it is.
    pub(super) fn write(self, to: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
        let count = rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..count).map(|column| self.width(rows, column)).collect();
        for row in rows {
            let Some((last, cells)) = row.split_last() else {
                writeln!(to)?;
                continue;
            };
            for (cell, width) in cells.iter().zip(&widths) {
                write!(to, "{cell:width$}")?;
            }
            writeln!(to, "{last}")?;
        }
        Ok(())
    }

    fn width(self, rows: &[Vec<String>], column: usize) -> usize {
        // A row's last cell does not make its column wider.
        let cells = rows.iter().filter(|row| column + 1 < row.len()).map(|row| &row[column]);
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
        (widest + self.padding).max(self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(columns: Columns, rows: &[&[&str]]) -> String {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|it| (*it).to_owned()).collect()).collect();
        let mut text = Vec::new();
        columns.write(&mut text, &rows).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn columns_are_set_as_docker_compose_sets_them() {
        assert_eq!(printed(NARROW, &[&["NAME", "IMAGE"]]), "NAME      IMAGE\n");
        assert_eq!(
            printed(NARROW, &[&["NAME", "PORTS"], &["demo-web-1", ""]]),
            "NAME         PORTS\ndemo-web-1   \n"
        );
        assert_eq!(
            printed(TIGHT, &[&["SERVICE", "#", "UID"], &["db", "1", "root"]]),
            "SERVICE  #   UID\ndb       1   root\n"
        );
        assert_eq!(printed(WIDE, &[]), "");
        assert_eq!(printed(NARROW, &[&["…2345678", "x"]]), "…2345678   x\n");
    }
}
