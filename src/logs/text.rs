//! What processes write, made lines that can be read: cut, overwritten, coloured or no text at all.
//!
//! Pure. A line without end, a progress bar and a terminal's commands become text of which a file can
//! be made; whatever is no text is escaped, never dropped.

use std::borrow::Cow;
use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};

use crate::logs::mask::Secrets;

/// Longest piece of a line; a longer line goes on in the next piece.
pub(super) const LONGEST_BYTES: usize = 64 * 1024;

/// How often a line that overwrites itself is written, besides its last state.
const STATE_EVERY: TimeDelta = TimeDelta::seconds(1);

/// How far before a cut the start of a terminal's command is looked for.
const LONGEST_COMMAND_BYTES: usize = 64;

/// What a piece of output is of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A line, or the last piece of one.
    Whole,
    /// A piece of a line that goes on.
    Begun,
    /// A state of a line that was overwritten afterwards. Which ones there are depends on the time.
    State,
}

/// Cuts what one stream writes into lines.
///
/// Which [`Part::Whole`] and [`Part::Begun`] pieces come of a stream depends on its bytes alone, not on
/// how they arrive: after a crash the same bytes make the same pieces again.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Vec<u8>,
    /// A carriage return came last: what follows says whether it ends the line or overwrites it.
    returned: bool,
    /// When the line began, or a state of it was last written.
    since: Option<DateTime<Utc>>,
}

impl Splitter {
    /// Takes bytes cut anywhere; hands each piece to `sink`.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        now: DateTime<Utc>,
        secrets: &Secrets,
        sink: &mut dyn FnMut(Part, &[u8]),
    ) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if self.returned {
                match first {
                    b'\n' => self.end(sink),
                    b'\r' => {}
                    _ => {
                        self.overwrite(now, sink);
                        continue;
                    }
                }
                rest = &rest[1..];
                continue;
            }
            let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
            let end = rest.iter().position(is_end).unwrap_or(rest.len());
            if self.line.is_empty() && end <= LONGEST_BYTES && rest.get(end) == Some(&b'\n') {
                sink(Part::Whole, &rest[..end]);
                self.since = None;
                rest = &rest[end + 1..];
                continue;
            }
            self.since.get_or_insert(now);
            self.line.extend_from_slice(&rest[..end]);
            self.cut(secrets, sink);
            match rest.get(end) {
                Some(b'\n') => self.end(sink),
                Some(_) => self.returned = true,
                None => return,
            }
            rest = &rest[end + 1..];
        }
    }

    /// Takes the end of the stream.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Part, &[u8])) {
        if !self.line.is_empty() {
            self.end(sink);
        }
    }

    fn end(&mut self, sink: &mut dyn FnMut(Part, &[u8])) {
        sink(Part::Whole, &self.line);
        self.line.clear();
        self.returned = false;
        self.since = None;
    }

    fn overwrite(&mut self, now: DateTime<Utc>, sink: &mut dyn FnMut(Part, &[u8])) {
        if !self.line.is_empty() && self.since.is_some_and(|since| now - since >= STATE_EVERY) {
            sink(Part::State, &self.line);
            self.since = Some(now);
        }
        self.line.clear();
        self.returned = false;
    }

    fn cut(&mut self, secrets: &Secrets, sink: &mut dyn FnMut(Part, &[u8])) {
        // So much behind the cut shows whether a secret lies across it.
        let margin = secrets.longest().max(4);
        while self.line.len() >= LONGEST_BYTES + margin {
            let at = place_to_cut(&self.line[..LONGEST_BYTES + margin], secrets);
            sink(Part::Begun, &self.line[..at]);
            self.line.drain(..at);
        }
    }
}

/// Where a long line is cut: not within a character, a terminal's command or a secret.
fn place_to_cut(line: &[u8], secrets: &Secrets) -> usize {
    let mut at = LONGEST_BYTES;
    while at > LONGEST_BYTES - 4 && line[at] & 0b1100_0000 == 0b1000_0000 {
        at -= 1;
    }
    let from = at - LONGEST_COMMAND_BYTES;
    if let Some(escape) = line[from..at].iter().rposition(|byte| *byte == ESCAPE)
        && command(&line[from + escape..]).is_none_or(|length| from + escape + length > at)
    {
        at = from + escape;
    }
    match secrets.start_of_one_across(line, at) {
        0 => at,
        start => start,
    }
}

const ESCAPE: u8 = 0x1b;

/// One piece of output as text for a file: no colours, no secrets, nothing that commands a terminal.
pub(super) fn readable<'a>(raw: &'a [u8], secrets: &Secrets) -> Cow<'a, str> {
    // Nearly every line: a search in bytes is much quicker than one in characters.
    if raw.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && let Cow::Borrowed(plain) = secrets.mask(raw)
        && let Ok(text) = str::from_utf8(plain)
    {
        return text.into();
    }
    let plain = without_commands(raw);
    let masked = secrets.mask(&plain);
    let mut text = String::with_capacity(masked.len());
    for chunk in masked.utf8_chunks() {
        for character in chunk.valid().chars() {
            // Writing to a `String` cannot fail.
            let _ = match character {
                control if control.is_ascii() && is_escaped(control) => {
                    write!(text, "\\x{:02x}", u32::from(control))
                }
                control if is_escaped(control) => write!(text, "{}", control.escape_unicode()),
                other => text.write_char(other),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.into()
}

fn is_escaped(character: char) -> bool {
    character.is_control() && character != '\t'
}

/// The bytes without the commands of a terminal (ECMA-48), such as colours.
fn without_commands(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&ESCAPE) {
        return raw.into();
    }
    let mut plain = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, after)) = rest.split_first() {
        if let Some(length) = command(rest) {
            rest = &rest[length..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain.into()
}

/// Length of the terminal's command that `text` begins with; `None` where it begins with none, or with
/// one that does not end.
fn command(text: &[u8]) -> Option<usize> {
    let (ESCAPE, rest) = text.split_first().map(|(first, rest)| (*first, rest))? else {
        return None;
    };
    let length = match rest.first()? {
        b'[' => {
            let parameters = |byte: &u8| (0x20..=0x3f).contains(byte);
            let end = rest[1..].iter().position(|byte| !parameters(byte))? + 1;
            (0x40..=0x7e).contains(&rest[end]).then_some(end + 1)?
        }
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let ends = |at: &usize| rest[*at] == 0x07 || rest[*at..].starts_with(b"\x1b\\");
            let end = (1..rest.len()).find(ends)?;
            end + if rest[end] == 0x07 { 1 } else { 2 }
        }
        0x20..=0x2f => {
            let end = rest.iter().position(|byte| !(0x20..=0x2f).contains(byte))?;
            (0x30..=0x7e).contains(&rest[end]).then_some(end + 1)?
        }
        0x30..=0x7e => 1,
        _ => return None,
    };
    Some(length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_795_237_620_000 + milliseconds).unwrap()
    }

    /// The pieces that come of chunks, each with the time it came at in milliseconds.
    fn split(chunks: &[(i64, &[u8])], secrets: &Secrets) -> Vec<(Part, String)> {
        let mut found = Vec::new();
        let mut splitter = Splitter::default();
        let mut sink = |part, raw: &[u8]| found.push((part, readable(raw, secrets).into_owned()));
        for (time, chunk) in chunks {
            splitter.take(chunk, at(*time), secrets, &mut sink);
        }
        splitter.finish(&mut sink);
        found
    }

    #[test]
    fn chunks_become_lines_wherever_they_are_cut() {
        /// What it shows, the bytes, the lines they make.
        type Row<'a> = (&'a str, &'a [u8], &'a [&'a str]);
        let rows: &[Row<'_>] = &[
            ("one line", b"a\n", &["a"]),
            ("two", b"a\nb\n", &["a", "b"]),
            ("empty lines", b"\n\n", &["", ""]),
            ("nothing", b"", &[]),
            ("no line end", b"a\nb", &["a", "b"]),
            ("line ends of a terminal", b"a\r\nb\r\n", &["a", "b"]),
            ("two returns before the line end", b"a\r\r\nb\n", &["a", "b"]),
            ("a progress bar", b"10%\r20%\r100%\nok\n", &["100%", "ok"]),
            ("a bar that returns first", b"\r10%\r20%\r100%", &["100%"]),
            ("a bar without end", b"10%\r20%\r", &["20%"]),
            ("a bar that clears itself", b"10%\r\x1b[K20%\n", &["20%"]),
            ("leading and trailing blanks", b"  a \n", &["  a "]),
            ("tabs", b"a\tb\n", &["a\tb"]),
            ("invalid UTF-8", b"caf\xe9 \xff\n", &["caf\\xe9 \\xff"]),
            ("text of many bytes", "é\u{1f600}\n".as_bytes(), &["é\u{1f600}"]),
            ("NULs and bells", b"a\0b\x07\x08\x7f\n", &["a\\x00b\\x07\\x08\\x7f"]),
            ("control characters of Latin-1", "a\u{9b}31m\n".as_bytes(), &["a\\u{9b}31m"]),
            ("colours", b"\x1b[1;31mred\x1b[0m \x1b[38;5;2mgreen\x1b[m\n", &["red green"]),
            ("a title and a link", b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\n", &["ab"]),
            ("character sets", b"\x1b(Ba\x1b7b\x1bMc\n", &["abc"]),
            ("a command that does not end", b"a\x1b]0;b\n", &["a\\x1b]0;b"]),
            ("an escape at the end", b"a\x1b\nb\x1b[\n", &["a\\x1b", "b\\x1b["]),
            ("a forged line", b"a\x1b[2K\x1b[1Arun 1 | b\n", &["arun 1 | b"]),
        ];
        for (what, bytes, expected) in rows {
            let none = Secrets::default();
            let whole = split(&[(0, bytes)], &none);
            assert!(whole.iter().all(|(part, _)| *part == Part::Whole), "{what}");
            let texts: Vec<_> = whole.iter().map(|(_, text)| text).collect();
            assert_eq!(texts, *expected, "{what}");
            for cut in 0..bytes.len() {
                let (before, after) = bytes.split_at(cut);
                assert_eq!(split(&[(0, before), (0, after)], &none), whole, "{what}, cut at {cut}");
            }
        }
    }

    #[test]
    fn a_progress_bar_shows_its_last_state_of_each_second() {
        let chunks: Vec<(i64, Vec<u8>)> =
            (0..=100).map(|it| (it * 50, format!("{it}%\r").into_bytes())).collect();
        let mut chunks: Vec<(i64, &[u8])> =
            chunks.iter().map(|(time, text)| (*time, text.as_slice())).collect();
        chunks.push((5_000, b"\n"));
        let found = split(&chunks, &Secrets::default());
        let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["19%", "39%", "59%", "79%", "99%", "100%"]);
        assert_eq!(found.iter().filter(|(part, _)| *part == Part::State).count(), 5);
    }

    #[test]
    fn a_line_without_end_is_cut_and_loses_nothing() {
        let secret = "S3cret!-and-long".to_owned();
        let secrets = Secrets::new([secret.clone()]);
        let filler = |length| "x".repeat(length);
        let around = |before: usize, middle: &str| {
            format!("{}{middle}{}", filler(before), filler(3 * LONGEST_BYTES))
        };
        let limit = LONGEST_BYTES;
        let rows = [
            ("plain", around(0, "")),
            ("a character across the cut", around(limit - 1, "\u{1f600}")),
            ("a colour across the cut", around(limit - 3, "\x1b[1;31m")),
            ("a secret that ends at the cut", around(limit - secret.len(), &secret)),
            ("a secret across the cut", around(limit - 5, &secret)),
            ("a secret that begins at the cut", around(limit, &secret)),
            ("secrets one after another", secret.repeat(10_000)),
        ];
        for (what, line) in rows {
            let found = split(&[(0, line.as_bytes())], &secrets);
            assert!(found.len() > 2, "{what}");
            let (last, begun) = found.split_last().unwrap();
            assert_eq!(last.0, Part::Whole, "{what}");
            assert!(begun.iter().all(|(part, _)| *part == Part::Begun), "{what}");
            let joined: String = found.iter().map(|(_, text)| text.as_str()).collect();
            let expected = line.replace("\x1b[1;31m", "").replace(&secret, "***");
            assert!(joined == expected, "{what}");
            // However it arrives.
            let chunks: Vec<_> = line.as_bytes().chunks(1_000).map(|chunk| (0, chunk)).collect();
            assert!(split(&chunks, &secrets) == found, "{what}");
        }
    }
}
