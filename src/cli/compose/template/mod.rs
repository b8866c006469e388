//! `--format TEMPLATE`: the part of Go's templates that lists are printed with.
//!
//! Fields, `json`, `upper`, `lower`, `title`, `len`, `join`, `split`, `truncate`, `pad`, `print`,
//! `printf`, `println`, `index`, comparisons, `not`, pipes, `if`, `range`, `with`, and trim markers.

mod call;
mod parse;

use anyhow::{Result, bail};
use serde_json::Value;

use self::parse::{Node, Operand, Pipeline};
use super::target::did_you_mean;

/// Key of a row under which `.Label "name"` finds its labels.
pub(super) const LABELS: &str = "\0labels";

/// A template, ready to be filled.
pub(super) struct Template(Vec<Node>);

impl Template {
    /// Reads a template; `\t` and `\n` may be written with a backslash.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        parse::parse(&text)
            .map(Self)
            .map_err(|what| anyhow::anyhow!("--format `{}`: {what}", text.escape_debug()))
    }

    /// Fills in one row.
    pub(super) fn fill(&self, row: &Value) -> Result<String> {
        let mut text = String::new();
        run(&self.0, row, row, &mut text)?;
        Ok(text)
    }
}

fn run(nodes: &[Node], root: &Value, dot: &Value, to: &mut String) -> Result<()> {
    for node in nodes {
        match node {
            Node::Text(text) => to.push_str(text),
            Node::Print(pipeline) => to.push_str(&call::text(&evaluate(pipeline, root, dot)?)),
            Node::If(branches, otherwise) => {
                let mut taken = None;
                for (condition, body) in branches {
                    if call::is_true(&evaluate(condition, root, dot)?) {
                        taken = Some(body);
                        break;
                    }
                }
                run(taken.unwrap_or(otherwise), root, dot, to)?;
            }
            Node::With(value, body, otherwise) => {
                let value = evaluate(value, root, dot)?;
                if call::is_true(&value) {
                    run(body, root, &value, to)?;
                } else {
                    run(otherwise, root, dot, to)?;
                }
            }
            Node::Range(list, body, otherwise) => {
                let items: Vec<Value> = match evaluate(list, root, dot)? {
                    Value::Array(items) => items,
                    Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
                    Value::Null => Vec::new(),
                    other => bail!("--format: cannot range over `{}`", call::text(&other)),
                };
                if items.is_empty() {
                    run(otherwise, root, dot, to)?;
                }
                for item in &items {
                    run(body, root, item, to)?;
                }
            }
        }
    }
    Ok(())
}

/// Each command of a pipe gets the value of the one before it as its last argument.
fn evaluate(pipeline: &Pipeline, root: &Value, dot: &Value) -> Result<Value> {
    let mut value = None;
    for command in pipeline {
        value = Some(command_value(command, value, root, dot)?);
    }
    Ok(value.unwrap_or(Value::Null))
}

fn command_value(
    command: &[Operand],
    piped: Option<Value>,
    root: &Value,
    dot: &Value,
) -> Result<Value> {
    let Some((first, rest)) = command.split_first() else { bail!("--format: an empty command") };
    let mut arguments = Vec::new();
    for operand in rest {
        arguments.push(operand_value(operand, root, dot)?);
    }
    arguments.extend(piped);
    match first {
        Operand::Function(name) => call::call(name, &arguments),
        Operand::Field(path) if path.len() == 1 && path[0] == "Label" => Ok(label(dot, &arguments)),
        other if arguments.is_empty() => operand_value(other, root, dot),
        _ => bail!("--format: only functions and `.Label` take arguments"),
    }
}

fn operand_value(operand: &Operand, root: &Value, dot: &Value) -> Result<Value> {
    match operand {
        Operand::Value(value) => Ok(value.clone()),
        Operand::Field(path) => field(dot, path),
        Operand::RootField(path) => field(root, path),
        Operand::Group(pipeline) => evaluate(pipeline, root, dot),
        Operand::Function(name) => call::call(name, &[]),
    }
}

fn field(value: &Value, path: &[String]) -> Result<Value> {
    let mut value = value.clone();
    if path.is_empty()
        && let Value::Object(map) = &mut value
    {
        map.retain(|name, _| name != LABELS);
    }
    for name in path {
        let found = value.get(name).cloned();
        let Some(found) = found else {
            let known = value.as_object().into_iter().flat_map(|map| map.keys());
            let known: Vec<&str> =
                known.map(String::as_str).filter(|it| !it.starts_with('\0')).collect();
            let near = did_you_mean(name, known.iter().copied());
            bail!("--format: there is no field `.{name}`{near} (there are {})", known.join(", "));
        };
        value = found;
    }
    Ok(value)
}

/// The value of a label; in the row of headers the last part of its name, in words.
fn label(row: &Value, arguments: &[Value]) -> Value {
    let name = arguments.first().and_then(Value::as_str).unwrap_or_default();
    if let Some(labels) = row.get(LABELS) {
        return labels.get(name).cloned().unwrap_or_else(|| Value::from(""));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    Value::from(last.replace(['-', '_'], " "))
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

    #[test]
    fn templates_say_what_gos_say() {
        for (template, expected) in [
            ("{{.Name}} {{.ExitCode}}", "demo-web-1 3"),
            ("{{ .Name }}\\t{{.State}}", "demo-web-1\trunning"),
            ("a {{- .Name -}} b", "ademo-web-1b"),
            ("{{.Publishers}}", "[{127.0.0.1 53 9 udp} {:: 80 8 tcp}]"),
            (
                "{{json .Name}} {{json .Publishers}}",
                "\"demo-web-1\" [{\"URL\":\"127.0.0.1\",\"TargetPort\":53,\"PublishedPort\":9,\"Protocol\":\"udp\"},{\"URL\":\"::\",\"TargetPort\":80,\"PublishedPort\":8,\"Protocol\":\"tcp\"}]",
            ),
            ("{{.Label \"version\"}}|{{.Label \"none\"}}", "1|"),
            ("{{upper .Name}} {{.Name | lower | title}}", "DEMO-WEB-1 Demo-Web-1"),
            (
                "{{printf \"%s-%d %q %v %5s|%-5s|%%\" .Name .ExitCode .State .ExitCode \"a\" \"b\"}}",
                "demo-web-1-3 \"running\" 3     a|b    |%",
            ),
            ("{{if .Health}}h{{else}}n{{end}}", "n"),
            ("{{if eq .State \"running\" \"up\"}}up{{end}}", "up"),
            ("{{if and .Name (not .Health)}}y{{else if .Name}}x{{end}}", "y"),
            (
                "{{range .Publishers}}{{.PublishedPort}},{{$.Name}} {{end}}",
                "9,demo-web-1 8,demo-web-1 ",
            ),
            ("{{with .Health}}{{.}}{{else}}none{{end}}", "none"),
            (
                "{{len .Name}} {{truncate .Name 3}} {{join (split .Name \"-\") \"/\"}}",
                "10 dem demo/web/1",
            ),
            ("{{(index .Publishers 1).TargetPort}}", "80"),
            ("{{pad .State 1 2}}|{{/* a note */}}", " running  |"),
            ("{{if gt .ExitCode 2}}big{{end}}{{if ne .ExitCode 3}}x{{end}}", "big"),
            ("{{`raw`}} {{println .ExitCode}}", "raw 3\n"),
        ] {
            let filled = Template::parse(template).unwrap().fill(&row()).unwrap();
            assert_eq!(filled, expected, "{template}");
        }
    }

    #[test]
    fn mistakes_in_templates_are_named() {
        for (template, wanted) in [
            ("{{.Nmae}}", "did you mean `Name`?"),
            ("{{uper .Name}}", "did you mean `upper`?"),
            ("{{.Name", "`{{` without `}}`"),
            ("{{if .Name}}x", "`{{end}}`"),
            ("{{end}}", "`{{end}}`"),
            ("{{\"a}}", "quote"),
            ("{{range .Name}}{{end}}", "cannot range over"),
        ] {
            let filled = Template::parse(template).and_then(|it| it.fill(&row()));
            let error = format!("{:#}", filled.unwrap_err());
            assert!(error.contains(wanted), "{template}: {error}");
        }
    }
}
