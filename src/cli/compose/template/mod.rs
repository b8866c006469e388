//! `--format TEMPLATE`: Go's `text/template` with the functions of docker's client.

mod call;
mod lex;
mod parse;
mod printf;
mod run;

use anyhow::{Result, anyhow};
use serde_json::Value;

use self::lex::Mistake;
use self::parse::Parsed;
use self::run::Run;

/// Key of a row under which `.Label "name"` finds its labels.
pub(super) const LABELS: &str = "\0labels";

/// A template, ready to be filled.
pub(super) struct Template {
    text: String,
    parsed: Parsed,
}

impl Template {
    /// Reads a template; `\t` and `\n` may be written with a backslash.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        match parse::parse(&text) {
            Ok(parsed) => Ok(Self { text, parsed }),
            Err(mistake) => Err(told(&text, &mistake)),
        }
    }

    /// Fills in one row.
    pub(super) fn fill(&self, row: &Value) -> Result<String> {
        let (printed, result) = self.run(row, false);
        result.map_err(|mistake| told(&self.text, &mistake))?;
        Ok(printed)
    }

    /// Fills in the row of headers, which ends where it cannot be filled, as docker's does.
    pub(super) fn fill_headings(&self, row: &Value) -> String {
        self.run(row, true).0
    }

    fn run(&self, row: &Value, headings: bool) -> (String, Result<(), Mistake>) {
        let mut run = Run {
            parsed: &self.parsed,
            printed: String::new(),
            headings,
            variables: Vec::new(),
            depth: 0,
        };
        let result = run.whole(&self.parsed.0, row);
        (run.printed, result)
    }
}

/// A mistake with its line and column.
fn told(text: &str, mistake: &Mistake) -> anyhow::Error {
    let before = text.get(..mistake.at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    anyhow!("--format `{}`, {line}:{column}: {}", text.escape_debug(), mistake.what)
}

/// The value without what only `.Label` reads.
fn visible(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(map) = &mut value {
        map.retain(|name, _| name != LABELS);
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({
            "Name": "demo-web-1", "ExitCode": 3, "Health": "", "State": "running",
            "Publishers": [
                {"URL": "127.0.0.1", "TargetPort": 53, "PublishedPort": 9, "Protocol": "udp"},
                {"URL": "::", "TargetPort": 80, "PublishedPort": 8, "Protocol": "tcp"},
            ],
            LABELS: {"version": "1"},
        })
    }

    /// Templates and what Go 1.26 makes of them.
    const FILLED: &[(&str, &str)] = &[
        ("{{.Name}} {{.ExitCode}}", "demo-web-1 3"),
        ("{{ .Name }}\\t{{.State}}", "demo-web-1\trunning"),
        ("a {{- .Name -}} b", "ademo-web-1b"),
        ("{{.Name -}}   x   {{- .State}} {{- /* c */ -}}  y", "demo-web-1xrunningy"),
        ("{{/* only }} */}}a", "a"),
        ("{{.Publishers}}", "[{127.0.0.1 53 9 udp} {:: 80 8 tcp}]"),
        (
            "{{json .Name}} {{json .Publishers}}",
            "\"demo-web-1\" [{\"URL\":\"127.0.0.1\",\"TargetPort\":53,\"PublishedPort\":9,\"Protocol\":\"udp\"},{\"URL\":\"::\",\"TargetPort\":80,\"PublishedPort\":8,\"Protocol\":\"tcp\"}]",
        ),
        ("{{.Label \"version\"}}|{{$.Label \"none\"}}|{{(.Label `version`) | upper}}", "1||1"),
        // Variables.
        ("{{$x := .Name}}{{$x}}", "demo-web-1"),
        ("{{$x := 1}}{{range .Publishers}}{{$x = .TargetPort}}{{end}}{{$x}}", "80"),
        ("{{if $x := .Name}}{{$x}}{{end}}", "demo-web-1"),
        ("{{range $i, $p := .Publishers}}{{$i}}:{{$p.PublishedPort}} {{end}}", "0:9 1:8 "),
        ("{{range $p := .Publishers}}{{$p.URL}},{{.URL}} {{end}}", "127.0.0.1,127.0.0.1 ::,:: "),
        ("{{range $i, $p := .Publishers}}{{if $i}}, {{end}}{{$p.URL}}{{end}}", "127.0.0.1, ::"),
        (
            "{{with $x := .Publishers}}{{range $k, $v := $x}}{{$k}}{{$v.URL}}{{end}}{{end}}",
            "0127.0.0.11::",
        ),
        // Blocks.
        ("{{if .Health}}h{{else}}n{{end}}", "n"),
        ("{{if .Health}}a{{else if .State}}b{{else}}c{{end}}", "b"),
        ("{{if and .Name (not .Health)}}y{{else if .Name}}x{{end}}", "y"),
        ("{{with .Health}}{{.}}{{else}}none{{end}}", "none"),
        ("{{with .Health}}a{{else with .State}}{{.}}{{else}}b{{end}}", "running"),
        (
            "{{range .Publishers}}{{.PublishedPort}},{{$.Name}} {{end}}",
            "9,demo-web-1 8,demo-web-1 ",
        ),
        (
            "{{range .Publishers}}{{if eq .TargetPort 53}}{{continue}}{{end}}{{.URL}}{{break}}{{end}}",
            "::",
        ),
        ("{{range 3}}{{.}}{{end}} {{range $i := 2}}{{$i}}{{end}}", "012 01"),
        ("{{range slice .Publishers 2}}x{{else}}none{{end}}", "none"),
        (
            "{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Name}}{{template \"t\"}}",
            "<demo-web-1><<no value>>",
        ),
        ("{{block \"b\" .State}}[{{.}}]{{end}}", "[running]"),
        // Literals.
        ("{{'a'}} {{0x1F}} {{1_000}} {{1e3}} {{-5}} {{.5}}", "97 31 1000 1000 -5 0.5"),
        ("{{\"\\u00e9\\x41\\101\\\\\"}} {{`a`}} {{true}}", "éAA\\ a true"),
        // Functions.
        (
            "{{upper .Name}} {{.Name | lower | title}} {{title \"ab cd\"}}",
            "DEMO-WEB-1 Demo-Web-1 Ab Cd",
        ),
        ("{{pad .State 1 2}}|{{pad \"\" 1 2}}|{{truncate .Name 4}}", " running  ||demo"),
        ("{{join (split \"a,b,c\" \",\") \"-\"}} {{split \"a,b\" \",\"}}", "a-b-c [a b]"),
        ("{{slice .Name 1 3}} {{slice .Name 5}} {{len (slice .Publishers 1)}}", "em web-1 1"),
        ("{{index .Name 0}} {{(index .Publishers 1).TargetPort}} {{len .Name}}", "100 80 10"),
        (
            "{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{ge \"b\" \"a\"}} {{eq 1.5 1.5}}",
            "true true true true true",
        ),
        ("{{if eq .State \"exited\" \"running\"}}up{{end}} {{eq .Name nil}}", "up false"),
        ("{{and 1 0 2}} {{or 0 \"\" \"x\"}} {{not 0}} {{and false .Nmae}}", "0 x true false"),
        (
            "{{print 1 2 \"a\" \"b\" 3}} {{print \"a\" nil}}|{{println \"a\" 1 2}}",
            "1 2ab3 a<nil>|a 1 2\n",
        ),
        (
            "{{print 1.0 2.5 1e21 0.000001 1234567.5 100000.5}}",
            "1 2.5 1e+21 1e-06 1.2345675e+06 100000.5",
        ),
        (
            "{{html \"<a href='x'>&\"}} {{urlquery \"a b&c/é\"}}",
            "&lt;a href=&#39;x&#39;&gt;&amp; a+b%26c%2F%C3%A9",
        ),
        ("{{js \"it's <b>=&\"}}", "it\\'s \\u003Cb\\u003E\\u003D\\u0026"),
        ("{{upper \"a\" | printf \"%s-%s\" \"x\"}} {{.Name | len | printf \"%03d\"}}", "x-A 010"),
        // Verbs.
        (
            "{{printf \"%05d|%x|%X|%o|%b|%c|%U|%+d|%-6d|% d|%#x|%06d\" 42 255 255 8 5 65 65 7 42 5 255 -42}}",
            "00042|ff|FF|10|101|A|U+0041|+7|42    | 5|0xff|-00042",
        ),
        (
            "{{printf \"%6.2f|%e|%g|%t|%5t|%v\" 3.14159 1500.0 2.5 true false nil}}",
            "  3.14|1.500000e+03|2.5|true|false|<nil>",
        ),
        (
            "{{printf \"%q %x %.2s %8.3s|%6s|%-6s|%#q|%%\" \"hi\" \"hé\" \"hello\" \"hello\" \"ab\" \"ab\" \"hi\"}}",
            "\"hi\" 68c3a9 he      hel|    ab|ab    |`hi`|%",
        ),
        ("{{printf \"%*d\" 5 42}} {{printf \"%[2]s %[1]s\" \"a\" \"b\"}}", "   42 b a"),
        (
            "{{printf \"%s %s\" \"a\"}} {{printf \"%d\" \"a\"}} {{printf \"a\" 1}}",
            "a %!s(MISSING) %!d(string=a) a%!(EXTRA int=1)",
        ),
        (
            "{{printf \"%+v %T\" .Publishers .Name}}",
            "[{URL:127.0.0.1 TargetPort:53 PublishedPort:9 Protocol:udp} {URL::: TargetPort:80 PublishedPort:8 Protocol:tcp}] string",
        ),
    ];

    #[test]
    fn templates_say_what_gos_say() {
        for (template, expected) in FILLED {
            let filled = Template::parse(template).and_then(|it| it.fill(&row()));
            assert_eq!(filled.map_err(|it| it.to_string()).as_deref(), Ok(*expected), "{template}");
        }
    }

    #[test]
    fn mistakes_in_templates_are_named() {
        for (template, wanted) in [
            ("{{.Nmae}}", "1:3: there is no field `.Nmae`; did you mean `Name`?"),
            ("a\\n {{uper .Name}}", "2:4: there is no function `uper`; did you mean `upper`?"),
            ("{{.Name", "1:1: `{{` without `}}`"),
            ("{{if .Name}}x", "1:1: its `{{end}}` is missing"),
            ("{{end}}", "1:1: `{{end}}` without"),
            ("{{else}}", "1:1: `{{else}}` without"),
            ("{{if .Name}}{{else}}{{else}}{{end}}", "a second `{{else}}`"),
            ("{{\"a}}", "1:3: a quote is not closed"),
            ("{{(.Name}}", "1:3: a parenthesis is not closed"),
            ("{{.Name)}}", "1:8: a parenthesis that was not opened"),
            ("{{/* a}}", "a comment is not closed"),
            ("{{if}}x{{end}}", "`if` needs a value"),
            ("{{}}", "a value is missing"),
            ("{{.Name |}}", "a value is missing"),
            ("{{$y}}", "there is no variable `$y`"),
            ("{{$y = 1}}", "there is no variable `$y`"),
            ("{{if $x := 1}}{{end}}{{$x}}", "there is no variable `$x`"),
            ("{{define \"t\"}}{{$x}}{{end}}{{$x := 1}}", "there is no variable `$x`"),
            ("{{break}}", "`break` outside of a `range`"),
            ("{{template \"nope\"}}", "there is no template `nope`"),
            ("{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}", "without end"),
            ("{{1 | 2}}", "expected a function"),
            ("{{.Name | .State}}", "only functions and `.Label` take values"),
            ("{{range .Name}}{{end}}", "cannot range over `demo-web-1`"),
            ("{{slice .Name 4 90}}", "1:3: there is no place 90: the length is 10"),
            ("{{index .Publishers 5}}", "there is no item 5"),
            ("{{index .Publishers \"a\"}}", "`a` is no place"),
            ("{{len 3}}", "`3` has no length"),
            ("{{eq 1 \"a\"}}", "int `1` and string `a` cannot be compared"),
            ("{{lt true false}}", "cannot be compared"),
            ("{{upper 3}}", "`upper` takes a string, not int `3`"),
            ("{{upper}}", "`upper` takes 1 values, not 0"),
            ("{{join .Name \",\"}}", "`join` takes a list"),
            ("{{.Name.Foo}}", "`demo-web-1` has no field `.Foo`"),
            ("{{.Label}}", "`.Label` takes the name of a label"),
            ("{{nil}}", "`nil` is no value"),
            ("{{\"\\q\"}}", "`\\q` means nothing"),
            ("{{0x}}", "`0x` is no number"),
            ("{{;}}", "`;` means nothing here"),
            (&format!("{{{{{}1", "(".repeat(10_000)), "`{{` without `}}`"),
            (
                &format!("{{{{{}1{}}}}}", "(".repeat(10_000), ")".repeat(10_000)),
                "1:103: nested deeper",
            ),
            (&"{{if 1}}".repeat(10_000), "nested deeper than 100 levels"),
        ] {
            let filled = Template::parse(template).and_then(|it| it.fill(&row()));
            let error = filled.map_err(|it| it.to_string()).expect_err(template);
            assert!(error.contains(wanted), "{template}: {error}");
        }
    }

    #[test]
    fn headers_are_not_changed_by_functions() {
        let header = json!({ "Name": "NAME", "Publishers": "PUBLISHERS" });
        for (template, expected) in [
            ("{{lower .Name}}\\t{{json .Publishers}}", "NAME\tPUBLISHERS"),
            ("{{truncate .Name 2}} {{pad .Name 0 1}}|", "NAME NAME |"),
            ("{{.Name}} {{range .Publishers}}x{{end}}", "NAME "),
            ("{{.Label \"com.example.my-version\"}}", "my version"),
        ] {
            let filled = Template::parse(template).map(|it| it.fill_headings(&header));
            assert_eq!(filled.map_err(|it| it.to_string()).as_deref(), Ok(expected), "{template}");
        }
    }
}
