//! From text to statements: which lines assign, and which would need a shell.

use super::{Assignment, Piece, Place, Statement, Word, is_name, is_name_part, is_name_start};
use crate::problem::Problem;

/// Commands whose name may be shown. The first word of any other line may be the rest of a secret
/// that somebody forgot to quote.
const NAMED_COMMANDS: &[&str] = &[
    "[", "[[", "alias", "basename", "cat", "cd", "command", "cp", "curl", "cut", "date", "declare",
    "dirname", "docker", "do", "done", "echo", "elif", "else", "esac", "eval", "exec", "exit",
    "false", "fi", "find", "git", "grep", "hostname", "id", "in", "let", "local", "ls", "mkdir",
    "printf", "pwd", "read", "readonly", "return", "rm", "sed", "set", "shift", "shopt", "sleep",
    "sort", "test", "then", "touch", "trap", "true", "type", "typeset", "umask", "wc", "which",
    "}",
];

const OPERATORS: &[&str] = &[
    "<<-", "&&", "||", ";;", "<<", ">>", "<&", ">&", "<>", ">|", ";", "&", "|", "<", ">", "(", ")",
];

/// A reader over the characters of one file, with its problems so far.
pub(super) struct Parser<'a> {
    file: &'a str,
    characters: Vec<char>,
    position: usize,
    place: Place,
    statements: Vec<Statement>,
    pub(super) problems: Vec<Problem>,
    /// The variable whose value is being read, for messages.
    pub(super) subject: Option<String>,
    /// A quote or brace that is never closed swallows the rest: said once.
    pub(super) unclosed: bool,
    /// Nesting of braces and substitutions.
    pub(super) depth: usize,
    pub(super) here_documents: Vec<HereDocument>,
}

/// A here-document whose body starts after the current line.
pub(super) struct HereDocument {
    pub(super) delimiter: String,
    pub(super) strips_tabs: bool,
}

/// What comes next on a line.
pub(super) enum Item {
    /// End of the line or of the file.
    End,
    Operator(&'static str, Place),
    Word(CommandWord),
}

/// A word of a command line.
pub(super) struct CommandWord {
    pub(super) place: Place,
    /// The name before an unquoted `=`; `word` is the value then.
    pub(super) assigns: Option<String>,
    /// Exactly as written, when it has no quote, escape or expansion: only such a word is a keyword.
    pub(super) plain: Option<String>,
    pub(super) word: Word,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &str, file: &'a str) -> Self {
        Self {
            file,
            characters: text.chars().collect(),
            position: 0,
            place: Place { line: 1, column: 1 },
            statements: Vec::new(),
            problems: Vec::new(),
            subject: None,
            unclosed: false,
            depth: 0,
            here_documents: Vec::new(),
        }
    }

    /// The statements that were understood, and what is wrong with the others.
    pub(super) fn parse(mut self) -> (Vec<Statement>, Vec<Problem>) {
        while !self.is_at_end() {
            self.command();
        }
        (self.statements, self.problems)
    }

    /// One line: assignments, `export`, `:`, or something that is refused. A `;` that ends a line
    /// separates nothing and is read over.
    fn command(&mut self) {
        let mut last_name = None;
        loop {
            match self.next_item() {
                Item::End => return,
                Item::Operator(";", _) if last_name.is_some() && self.rest_of_line_is_blank() => {}
                Item::Operator(operator, place) => {
                    return self.refuse_operator(operator, place, last_name.is_some());
                }
                Item::Word(CommandWord { assigns: Some(name), place, word, .. }) => {
                    last_name = Some(name.clone());
                    let assignment = Assignment { name, line: place.line, value: word };
                    self.statements.push(Statement::Assign(assignment));
                }
                Item::Word(word) => match &last_name {
                    Some(name) => return self.refuse_command_after(name, word.place),
                    None => return self.command_word(&word),
                },
            }
        }
    }

    fn command_word(&mut self, word: &CommandWord) {
        match word.plain.as_deref() {
            Some("export") => self.export(),
            Some(":") => self.null_command(),
            Some(keyword @ ("if" | "for" | "while" | "until" | "case")) => {
                self.refuse(
                    word.place,
                    &format!("`{keyword}`"),
                    "write the outcome as plain assignments, or `${NAME:-default}` for a default",
                );
                self.skip_compound(keyword);
            }
            Some("{") => {
                self.refuse(
                    word.place,
                    "a `{ … }` group",
                    "write its assignments without the group",
                );
                self.skip_compound("{");
            }
            Some("function") => self.refuse_function(word.place),
            Some(_) if self.rest_of_line_starts_with('(') => self.refuse_function(word.place),
            plain => self.refuse_command(plain, word.place),
        }
    }

    /// `export NAME=value NAME …`: a name alone assigns nothing.
    fn export(&mut self) {
        let mut assignments = Vec::new();
        loop {
            match self.next_item() {
                Item::End => break,
                Item::Operator(";", _) if self.rest_of_line_is_blank() => {}
                Item::Operator(operator, place) => {
                    return self.refuse_operator(operator, place, true);
                }
                Item::Word(word) => assignments.extend(self.exported(word)),
            }
        }
        self.statements.push(Statement::Export(assignments));
    }

    fn exported(&mut self, word: CommandWord) -> Option<Assignment> {
        let line = word.place.line;
        if let Some(name) = word.assigns {
            return Some(Assignment { name, line, value: word.word });
        }
        if word.plain.as_deref().is_some_and(is_name) {
            return None;
        }
        match split_assignment(word.word) {
            Some((name, value)) => return Some(Assignment { name, line, value }),
            None if word.plain.as_deref().is_some_and(|text| text.starts_with('-')) => self.refuse(
                word.place,
                "an option of `export`",
                "write `export NAME=value`, or remove the line",
            ),
            None => self.report(
                word.place,
                "expected `NAME` or `NAME=value` after `export`".into(),
                "write no spaces around `=`, and quote a value that holds spaces",
            ),
        }
        None
    }

    /// `: "${NAME:=default}"` is how shell files set a default.
    fn null_command(&mut self) {
        loop {
            match self.next_item() {
                Item::End => return,
                Item::Operator(";", _) if self.rest_of_line_is_blank() => {}
                Item::Operator(operator, place) => {
                    return self.refuse_operator(operator, place, false);
                }
                Item::Word(word) => self.statements.push(Statement::Evaluate(word.word)),
            }
        }
    }

    fn refuse_function(&mut self, place: Place) {
        self.refuse(place, "a function", "write the outcome as plain assignments");
        self.skip_function();
    }

    fn refuse_command_after(&mut self, name: &str, place: Place) {
        self.report(
            place,
            format!(
                "unexpected word after the value of `{name}`: a shell would run it as a command"
            ),
            "quote a value that holds spaces: NAME=\"first second\"",
        );
        self.skip_line(false);
    }

    fn refuse_command(&mut self, plain: Option<&str>, place: Place) {
        let spaced = self.rest_of_line_starts_with('=');
        match plain {
            Some(name) if spaced && is_name(name) => self.report(
                place,
                format!("spaces around the `=` of `{name}`: a shell would run it as a command"),
                "write NAME=value without spaces",
            ),
            Some(name) if name.ends_with("+=") || name.contains("+=") => {
                self.refuse(place, "appending with `+=`", "write NAME=\"$NAME more\"");
            }
            Some(name @ ("." | "source")) => self.refuse(
                place,
                &format!("sourcing another file with `{name}`"),
                "copy the assignments of that file into this one",
            ),
            Some("unset") => self.refuse(
                place,
                "`unset`",
                "remove the assignment, or assign an empty value, which counts as unset",
            ),
            Some(name @ ("readonly" | "declare" | "typeset" | "local")) => {
                self.refuse(place, &format!("`{name}`"), "write `export NAME=value`");
            }
            Some(name) if NAMED_COMMANDS.contains(&name) => self.refuse(
                place,
                &format!("the command `{name}`"),
                "write its outcome as plain assignments, or remove the line",
            ),
            _ => self.refuse(
                place,
                "a command",
                "write NAME=value; quote a value that spans words or lines",
            ),
        }
        self.skip_line(false);
    }

    fn refuse_operator(&mut self, operator: &str, place: Place, after_value: bool) {
        let quote = "quote a value that holds this character";
        let (what, hint) = match operator {
            ";" | ";;" => ("`;` between commands", "put each assignment on a line of its own"),
            "&&" | "||" => ("a list of commands with `&&` or `||`", quote),
            "|" => ("a pipe", quote),
            "&" => ("a command in the background with `&`", quote),
            "<<" | "<<-" => ("a here-document", "write a quoted value; it may span lines"),
            "(" if after_value => ("an array", "write one value, its parts separated by spaces"),
            "(" => ("a subshell", "write its outcome as plain assignments"),
            ")" => ("an unmatched `)`", quote),
            _ => ("a redirection", quote),
        };
        self.refuse(place, what, hint);
        if operator == "(" {
            self.skip_compound("(");
        } else {
            self.skip_line(true);
        }
    }

    /// Reports a construct that only a shell can evaluate.
    pub(super) fn refuse(&mut self, place: Place, what: &str, hint: &str) {
        let of = self.subject.as_ref().map(|name| format!(" in the value of `{name}`"));
        let of = of.unwrap_or_default();
        let message = format!("{what}{of} is not supported: the file is read, not run by a shell");
        self.report(place, message, hint);
    }

    pub(super) fn report(&mut self, place: Place, message: String, hint: &str) {
        let mut problem = Problem::in_file(self.file, message).at_line(place.line).with_hint(hint);
        problem.column = Some(place.column);
        self.problems.push(problem);
    }

    /// The next word or operator of the line.
    pub(super) fn next_item(&mut self) -> Item {
        self.skip_blanks();
        if self.peek() == Some('#') {
            self.skip_comment();
        }
        match self.peek() {
            None => Item::End,
            Some('\n') => {
                self.next();
                self.skip_here_documents();
                Item::End
            }
            Some(_) => {
                let place = self.place();
                let Some(operator) = OPERATORS.iter().find(|operator| self.looking_at(operator))
                else {
                    return Item::Word(self.command_line_word(place));
                };
                self.advance(operator.len());
                if operator.starts_with("<<") {
                    self.read_delimiter(*operator == "<<-");
                }
                Item::Operator(operator, place)
            }
        }
    }

    fn command_line_word(&mut self, place: Place) -> CommandWord {
        if let Some(name) = self.name_before_equals() {
            self.advance(name.len() + 1);
            let outer = self.subject.replace(name.clone());
            let word = self.value();
            self.subject = outer;
            return CommandWord { place, assigns: Some(name), plain: None, word };
        }
        let start = self.position;
        let word = self.argument();
        let written: String = self.characters[start..self.position].iter().collect();
        let written = written.replace("\\\n", "");
        let is_plain = !written.contains(['\'', '"', '\\', '$', '`', '~']);
        CommandWord { place, assigns: None, plain: is_plain.then_some(written), word }
    }

    fn name_before_equals(&self) -> Option<String> {
        let mut rest = self.ahead();
        let mut name = String::new();
        let after = loop {
            match rest.next() {
                Some(character) if is_name_part(character) => name.push(character),
                other => break other,
            }
        };
        (after == Some('=') && name.starts_with(is_name_start)).then_some(name)
    }

    /// Where the next character begins.
    pub(super) fn place(&mut self) -> Place {
        self.skip_continuations();
        self.place
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.peek().is_none()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.ahead().next()
    }

    /// The next character where a backslash before a newline is not special.
    pub(super) fn peek_raw(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    /// The characters that follow. A backslash and a newline join two lines wherever they stand,
    /// within `$NAME`, too.
    pub(super) fn ahead(&self) -> impl Iterator<Item = char> {
        let mut position = self.position;
        std::iter::from_fn(move || {
            while self.is_continuation(position) {
                position += 2;
            }
            position += 1;
            self.characters.get(position - 1).copied()
        })
    }

    fn is_continuation(&self, position: usize) -> bool {
        self.characters.get(position..position + 2) == Some(&['\\', '\n'])
    }

    fn skip_continuations(&mut self) {
        while self.is_continuation(self.position) {
            self.next_raw();
            self.next_raw();
        }
    }

    pub(super) fn looking_at(&self, text: &str) -> bool {
        self.ahead().take(text.len()).eq(text.chars())
    }

    pub(super) fn next(&mut self) -> Option<char> {
        self.skip_continuations();
        self.next_raw()
    }

    /// Takes the next character where a backslash before a newline is not special.
    pub(super) fn next_raw(&mut self) -> Option<char> {
        let character = self.peek_raw()?;
        self.position += 1;
        if character == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(character)
    }

    pub(super) fn advance(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    /// Skips a comment, which ends with its line whatever precedes the newline.
    fn skip_comment(&mut self) {
        while self.peek_raw().is_some_and(|character| character != '\n') {
            self.next_raw();
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.next();
        }
    }

    fn rest_of_line(&self) -> impl Iterator<Item = char> {
        let rest = self.ahead().take_while(|character| *character != '\n');
        rest.skip_while(|character| " \t".contains(*character))
    }

    fn rest_of_line_is_blank(&self) -> bool {
        self.rest_of_line().next().is_none_or(|character| character == '#')
    }

    fn rest_of_line_starts_with(&self, character: char) -> bool {
        self.rest_of_line().next() == Some(character)
    }
}

/// Splits `"NAME=value"`, as `export` gets it when the whole argument is quoted.
fn split_assignment(mut word: Word) -> Option<(String, Word)> {
    let Some(Piece::Text(text)) = word.0.first_mut() else { return None };
    let (name, value) = text.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let name = name.to_owned();
    *text = value.to_owned();
    Some((name, word))
}
