//! Lines of logs, and how they are printed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};

use crate::docker::Stream;
use crate::plan::labels;
use crate::plan::observed::Container;

/// Colors of names, each container the next.
const COLORS: [&str; 10] = ["36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1"];

/// One line with its time; ordered by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::compose) struct Line {
    /// When it was written, in the Engine's form, which sorts as text.
    pub(in crate::cli::compose) time: String,
    /// The line.
    pub(in crate::cli::compose) text: String,
}

impl Line {
    /// Parts what the Engine put before a line from the line.
    pub(in crate::cli::compose) fn new(stamped: &str) -> Self {
        let (time, text) = stamped.split_once(' ').unwrap_or((stamped, ""));
        Self { time: time.to_owned(), text: text.to_owned() }
    }
}

/// Prints lines behind the names of their containers.
pub(in crate::cli::compose) struct Printer {
    prefix: bool,
    timestamps: bool,
    color: bool,
    width: usize,
    names: BTreeMap<String, (String, &'static str)>,
}

impl Printer {
    /// A printer that knows nobody yet.
    pub(in crate::cli::compose) fn new(prefix: bool, timestamps: bool, color: bool) -> Self {
        Self { prefix, timestamps, color, width: 0, names: BTreeMap::new() }
    }

    /// Makes a container known.
    pub(in crate::cli::compose) fn introduce(&mut self, container: &Container) {
        self.introduce_as(&container.id, short_name(container));
    }

    /// Makes a container known by a name that it may not have yet.
    pub(in crate::cli::compose) fn introduce_as(&mut self, id: &str, name: String) {
        self.leave_room_for(&name);
        let color = COLORS[self.names.len() % COLORS.len()];
        self.names.entry(id.to_owned()).or_insert((name, color));
    }

    /// Aligns lines with those of somebody who comes later.
    pub(in crate::cli::compose) fn leave_room_for(&mut self, name: &str) {
        self.width = self.width.max(name.chars().count());
    }

    /// Prints a line; false when nobody reads any more.
    pub(in crate::cli::compose) fn print(&self, container: &str, line: &Line) -> io::Result<bool> {
        write(&self.line(container, line))
    }

    /// Prints a line where the container wrote it; false when nobody reads any more.
    pub(in crate::cli::compose) fn print_on(
        &self,
        stream: Stream,
        container: &str,
        line: &Line,
    ) -> io::Result<bool> {
        match stream {
            Stream::Out => self.print(container, line),
            Stream::Err => {
                let written = writeln!(io::stderr().lock(), "{}", self.line(container, line));
                broken_pipe_is_the_end(written)
            }
        }
    }

    /// Says that a container has ended.
    pub(in crate::cli::compose) fn ended(&self, container: &str, code: i64) -> io::Result<bool> {
        let name = self.names.get(container).map_or("", |it| it.0.as_str());
        write(&format!("{name} exited with code {code}"))
    }

    /// Says that a container has ended and that its restart policy starts it again.
    pub(in crate::cli::compose) fn restarts(&self, container: &str, code: i64) -> io::Result<bool> {
        let name = self.names.get(container).map_or("", |it| it.0.as_str());
        write(&format!("{name} exited with code {code} (restarting)"))
    }

    fn line(&self, container: &str, line: &Line) -> String {
        let time = if self.timestamps { format!("{} ", line.time) } else { String::new() };
        let Some((name, color)) = self.names.get(container).filter(|_| self.prefix) else {
            return format!("{time}{}", line.text);
        };
        let width = self.width + 1;
        let prefix = format!("{name:width$} | ");
        let prefix = if self.color { format!("\x1b[{color}m{prefix}\x1b[0m") } else { prefix };
        format!("{prefix}{time}{}", line.text)
    }
}

fn write(line: &str) -> io::Result<bool> {
    broken_pipe_is_the_end(writeln!(io::stdout().lock(), "{line}"))
}

fn broken_pipe_is_the_end(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// The name without the project's, where it is not one of its own.
fn short_name(container: &Container) -> String {
    let project = container.label(labels::PROJECT);
    shortened(&container.name, project, container.service(), container.number())
}

/// See [`short_name`].
pub(in crate::cli::compose) fn shortened(
    name: &str,
    project: &str,
    service: &str,
    number: u32,
) -> String {
    let short = ['-', '_'].into_iter().find_map(|between| {
        let usual = format!("{service}{between}{number}");
        (name == format!("{project}{between}{usual}")).then_some(usual)
    });
    short.unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, name: &str) -> Container {
        let pairs =
            [(labels::PROJECT, "p"), (labels::SERVICE, "web"), (labels::CONTAINER_NUMBER, "1")];
        let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Container { id: id.to_owned(), name: name.to_owned(), labels, ..Container::default() }
    }

    #[test]
    fn lines_stand_behind_aligned_names() {
        let line = Line::new("2026-03-01T12:00:00.000000001Z hello  there");
        for (prefix, timestamps, color, expected) in [
            (true, false, false, "web-1  | hello  there"),
            (true, true, false, "web-1  | 2026-03-01T12:00:00.000000001Z hello  there"),
            (false, true, false, "2026-03-01T12:00:00.000000001Z hello  there"),
            (false, false, true, "hello  there"),
            (true, false, true, "\x1b[36mweb-1  | \x1b[0mhello  there"),
        ] {
            let mut printer = Printer::new(prefix, timestamps, color);
            printer.introduce(&container("a", "p-web-1"));
            assert_eq!(printer.line("a", &line), expected);
        }
        let mut printer = Printer::new(true, false, false);
        printer.introduce(&container("a", "p-web-1"));
        printer.introduce(&container("b", "a-longer-name"));
        assert_eq!(printer.line("a", &line), "web-1          | hello  there");
        assert_eq!(printer.line("b", &line), "a-longer-name  | hello  there");
    }

    #[test]
    fn lines_are_ordered_by_their_time() {
        let mut lines =
            [Line::new("2026-03-01T12:00:01.5Z b"), Line::new("2026-03-01T12:00:01.4Z c")];
        lines.sort();
        assert_eq!(lines.map(|it| it.text), ["c", "b"]);
        assert_eq!(Line::new("2026-03-01T12:00:01.4Z").text, "");
    }
}
