//! The Compose variable grammar: `$V`, `${V}`, `${V:-word}` and its kin, nested to any sane depth.
//!
//! A scanner, not a pattern: braces inside a word balance, and a word may span lines, two things
//! `docker compose` gets wrong. A substituted value is never scanned again.

use std::collections::BTreeSet;

use super::yaml::Node;
use crate::problem::Problem;

/// Deepest nesting of `${}` in words.
const MAX_DEPTH: usize = 50;
/// Most bytes of values that go into one text, or into all those of a file: far beyond what a container
/// can be given, and short enough that variables which double each other cannot exhaust the memory.
const MAX_BYTES: usize = 16 << 20;

/// Where the values of variables come from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text could not be interpolated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `${` that the grammar does not know; the text from there on.
    Invalid(String),
    /// `${V:?message}` or `${V?message}` without a value.
    Required {
        /// The variable.
        variable: String,
        /// What the author says about it.
        message: String,
    },
    /// Values that are too long together.
    TooLong,
}

/// What may still be put into the texts of one file.
#[derive(Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MAX_BYTES)
    }
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Failure> {
        self.0 = self.0.checked_sub(bytes).ok_or(Failure::TooLong)?;
        Ok(())
    }
}

impl Failure {
    /// What to tell a person.
    pub fn message(&self) -> String {
        match self {
            Self::Invalid(fragment) => format!("invalid interpolation `{fragment}`"),
            Self::Required { variable, message } if message.is_empty() => {
                format!("required variable `{variable}` is missing a value")
            }
            Self::Required { variable, message } => {
                format!("required variable `{variable}` is missing a value: {message}")
            }
            Self::TooLong => {
                let limit = MAX_BYTES >> 20;
                format!("the values of variables here are longer than {limit} MiB together")
            }
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Invalid(_) => {
                "write `${NAME}`, `${NAME:-default}`, `${NAME:?message}` or `${NAME:+other}`; \
                 a literal `$` is `$$`"
                    .to_owned()
            }
            Self::Required { variable, .. } => {
                format!("set `{variable}` in the environment or in `.env`")
            }
            Self::TooLong => "put long text into a file and mount it".to_owned(),
        }
    }
}

/// Replaces the variables of a text; names without a value or default go to `unset`.
pub fn substitute(
    text: &str,
    lookup: Lookup<'_>,
    unset: &mut BTreeSet<String>,
) -> Result<String, Failure> {
    substitute_within(text, lookup, unset, &mut Budget::default())
}

/// The same for one of several texts that share a budget.
pub fn substitute_within(
    text: &str,
    lookup: Lookup<'_>,
    unset: &mut BTreeSet<String>,
    budget: &mut Budget,
) -> Result<String, Failure> {
    let mut output = String::with_capacity(text.len());
    Scanner { lookup, unset, budget }.expand(text, &mut output, 0)?;
    Ok(output)
}

/// Replaces the variables in every string value of a tree; keys stay as they are.
pub fn interpolate(
    node: &mut Node,
    lookup: Lookup<'_>,
    unset: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    let mut budget = Budget::default();
    let mut is_spent = false;
    node.each_text(&mut |span, text| {
        if !text.as_bytes().contains(&b'$') || is_spent {
            return;
        }
        match substitute_within(text, lookup, unset, &mut budget) {
            Ok(replaced) => *text = replaced,
            Err(failure) => {
                is_spent = failure == Failure::TooLong;
                problems.push(span.problem(failure.message()).with_hint(failure.hint()));
            }
        }
    });
}

/// One use of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// `-`, `+` or `?`.
    pub operator: Option<char>,
    /// What stands behind the operator, as written.
    pub word: String,
}

/// The variables that a text uses, those in words too; what is no expression is left out.
pub fn uses(text: &str) -> Vec<Use> {
    let mut found = Vec::new();
    // Braces without an end are looked for to the end, each: past the budget none is found.
    let _ = collect_uses(text, &mut found, &mut Budget::default(), 0);
    found
}

fn collect_uses(
    text: &str,
    found: &mut Vec<Use>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(), Failure> {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        if let Some(literal) = after.strip_prefix('$') {
            rest = literal;
            continue;
        }
        let inside = after.strip_prefix('{');
        let name = leading_name(inside.unwrap_or(after));
        rest = &inside.unwrap_or(after)[name.len()..];
        if name.is_empty() {
            continue;
        }
        let expression = rest.strip_prefix(':').unwrap_or(rest);
        let operator = expression.chars().next().filter(|c| "-+?".contains(*c));
        let mut word = String::new();
        if let (Some(_), Some(operator)) = (inside, operator)
            && let Some(end) = closing_brace(&expression[operator.len_utf8()..], budget)?
        {
            expression[1..=end].clone_into(&mut word);
            rest = &expression[end + 2..];
        }
        let operator = operator.filter(|_| inside.is_some());
        found.push(Use { name: name.to_owned(), operator, word: word.clone() });
        // The deepest words that are replaced, too.
        if depth <= MAX_DEPTH {
            collect_uses(&word, found, budget, depth + 1)?;
        }
    }
    Ok(())
}

struct Scanner<'a> {
    lookup: Lookup<'a>,
    unset: &'a mut BTreeSet<String>,
    budget: &'a mut Budget,
}

impl Scanner<'_> {
    fn expand(&mut self, text: &str, output: &mut String, depth: usize) -> Result<(), Failure> {
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            output.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(literal) = after.strip_prefix('$') {
                output.push('$');
                rest = literal;
            } else if let Some(inside) = after.strip_prefix('{') {
                rest = self.braced(&rest[at..], inside, output, depth)?;
            } else {
                let name = leading_name(after);
                if name.is_empty() {
                    output.push('$');
                } else {
                    self.value(name, output)?;
                }
                rest = &after[name.len()..];
            }
        }
        output.push_str(rest);
        Ok(())
    }

    /// Expands from just after `${`; returns what follows the closing brace.
    fn braced<'t>(
        &mut self,
        whole: &str,
        inside: &'t str,
        output: &mut String,
        depth: usize,
    ) -> Result<&'t str, Failure> {
        let invalid = || Failure::Invalid(fragment(whole));
        let name = leading_name(inside);
        let after = &inside[name.len()..];
        if name.is_empty() || depth > MAX_DEPTH {
            return Err(invalid());
        }
        if let Some(rest) = after.strip_prefix('}') {
            self.value(name, output)?;
            return Ok(rest);
        }
        let (empty_is_unset, after) = match after.strip_prefix(':') {
            Some(after) => (true, after),
            None => (false, after),
        };
        let operator = after.chars().next().filter(|c| "-+?".contains(*c)).ok_or_else(invalid)?;
        let word_and_rest = &after[1..];
        // A brace that is opened in vain is a plain one.
        let end = closing_brace(word_and_rest, self.budget)?.or_else(|| word_and_rest.find('}'));
        let end = end.ok_or_else(invalid)?;
        let (word, rest) = (&word_and_rest[..end], &word_and_rest[end + 1..]);
        let value = self.look_up(name)?.filter(|value| !(empty_is_unset && value.is_empty()));
        match (operator, value) {
            ('+', Some(_)) | ('-', None) => self.expand(word, output, depth + 1)?,
            ('+', None) => {}
            (_, Some(value)) => output.push_str(&value),
            (_, None) => {
                let mut message = String::new();
                self.expand(word, &mut message, depth + 1)?;
                return Err(Failure::Required { variable: name.to_owned(), message });
            }
        }
        Ok(rest)
    }

    fn value(&mut self, name: &str, output: &mut String) -> Result<(), Failure> {
        match self.look_up(name)? {
            Some(value) => output.push_str(&value),
            None => {
                self.unset.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// The value of a variable; one that is not used in the end costs as much.
    fn look_up(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let value = (self.lookup)(name);
        self.budget.spend(value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }
}

fn leading_name(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let ends = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if starts { &text[..ends] } else { "" }
}

/// Where the brace opened before `text` closes; what is searched is spent, for the same text may be
/// searched again and again.
fn closing_brace(text: &str, budget: &mut Budget) -> Result<Option<usize>, Failure> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => {
                budget.spend(at)?;
                return Ok(Some(at));
            }
            b'}' => open -= 1,
            _ => {}
        }
    }
    budget.spend(text.len())?;
    Ok(None)
}

/// The start of an invalid expression, short enough for a message.
fn fragment(text: &str) -> String {
    let end = text.find(['}', '\n']).map_or(text.len(), |at| at + 1);
    text[..end].trim_end().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "E" => Some(String::new()),
            "D" => Some("$A".to_owned()),
            _ => None,
        }
    }

    fn check(text: &str, expected: &str) {
        let result = substitute(text, &lookup, &mut BTreeSet::new());
        let text_of = result.unwrap_or_else(|failure| failure.message());
        assert_eq!(text_of, expected, "{text}");
    }

    #[test]
    fn follows_the_grammar() {
        for (text, expected) in [
            ("$A ${A} $A-x $A_x ${A_x}", "a a a-x  "),
            ("${U:-w}${E:-w}${A:-w}", "wwa"),
            ("${U-w}${E-w}${A-w}", "wa"),
            ("${U:+w}${E:+w}${A:+w}", "w"),
            ("${U+w}${E+w}${A+w}", "ww"),
            ("${E?m}${A:?m}", "a"),
            ("${U:?no $A}", "required variable `U` is missing a value: no a"),
            ("${E:?}", "required variable `E` is missing a value"),
            ("${U-a?b} ${U:-a:-b}", "a?b a:-b"),
            ("${U:-${V:-${A}x}y}z", "axyz"),
            ("${U:-{\"j\":1}}", "{\"j\":1}"),
            ("${U:-{}} ${V:-y}", "{} y"),
            ("${A:-{}", "a"),
            ("${U:-a\nb}", "a\nb"),
            ("$$A $${A} a$ $-x $1 ^R$", "$A ${A} a$ $-x $1 ^R$"),
            ("${D}", "$A"),
            ("${A:-${U:?never}}", "a"),
            ("${U:-{}", "{"),
            ("é$Aé", "éaé"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn refuses_what_is_no_expression() {
        for text in [
            "${", "${}", "${ A}", "${A }", "${1}", "${a.b}", "${A!}", "${A/x/y}", "${A:0:1}",
            "${U:=d}", "${U=d}", "${É}", "${A:", "${A:-", "${A",
        ] {
            let result = substitute(text, &lookup, &mut BTreeSet::new());
            assert!(matches!(result, Err(Failure::Invalid(_))), "{text}: {result:?}");
        }
    }

    #[test]
    fn refuses_values_that_grow_without_an_end() {
        let long = "x".repeat(1 << 20);
        let lookup = |name: &str| (name == "L").then(|| long.clone());
        for text in
            ["${L}".repeat(100), "${L:+}".repeat(100), "$L".repeat(100), "${A-{ }".repeat(100_000)]
        {
            let result = substitute(&text, &lookup, &mut BTreeSet::new());
            assert_eq!(result, Err(Failure::TooLong));
        }
        let mut tree = crate::compose::yaml::parse("[$L$L$L$L$L$L$L$L$L]", "f").unwrap();
        let mut problems = Vec::new();
        for _ in 0..3 {
            interpolate(&mut tree[0], &lookup, &mut BTreeSet::new(), &mut problems);
        }
        assert_eq!(problems, []);
        let text = format!("[{}]", "$L, ".repeat(20));
        let mut tree = crate::compose::yaml::parse(&text, "f").unwrap();
        interpolate(&mut tree[0], &lookup, &mut BTreeSet::new(), &mut problems);
        assert_eq!(problems.len(), 1);
        assert!(uses(&"${A-".repeat(100_000)).len() < 1000);
    }

    #[test]
    fn finds_every_use() {
        let shown = |text: &str| {
            let uses = uses(text).into_iter();
            let uses = uses.map(|used| {
                let operator = used.operator.map(String::from).unwrap_or_default();
                format!("{}{operator}{}", used.name, used.word)
            });
            uses.collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("$A ${B} $$C ${D:-x} ${E?m}", "A B D-x E?m"),
            ("${A:-${B:+c$D}}-e", "A-${B:+c$D} B+c$D D"),
            ("$ ${} ${1} ${A", "A"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        // Found by fuzzing: what is replaced in the deepest word was not named.
        let deepest = format!("{}$y{}", "${A+".repeat(MAX_DEPTH + 1), "}".repeat(MAX_DEPTH + 1));
        check(&deepest, "");
        assert_eq!(uses(&deepest).last().map(|used| used.name.as_str()), Some("y"));
    }

    #[test]
    fn reports_only_used_unset_variables() {
        let mut unset = BTreeSet::new();
        substitute("$U ${V:-x} ${A:-$W} ${X:+$Y} ${Z:-$T}", &lookup, &mut unset).unwrap();
        assert_eq!(unset.into_iter().collect::<Vec<_>>(), ["T", "U"]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[$\\{\\}A:?+ -é\\n]{0,200}") {
            let _ = substitute(&text, &lookup, &mut BTreeSet::new());
        }
    }
}
