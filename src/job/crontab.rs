//! Crontabs: their lines become programs in our own container, or containers of an image.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::foreign::{Imported, Names, TIMEOUT, literal, literals};
use super::native::Context;
use crate::compose::yaml::{Source, Span};

/// How a crontab is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Image of the containers that the commands run in; `None` is our own container.
    pub image: Option<String>,
    /// Each line names a user before the command, as in `/etc/crontab`.
    pub has_users: bool,
}

/// Reads a crontab.
pub fn read(text: &str, file: &str, options: &Options, context: &Context<'_>) -> Imported {
    let mut imported = Imported::default();
    let source = Source::of(file, text);
    let mut names = Names::default();
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    let mut comment: Option<String> = None;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let span = Span::of_line(&source, index + 1);
        let line = line.trim();
        if let Some(text) = line.strip_prefix('#') {
            comment = Some(text.trim().to_owned());
            continue;
        }
        if line.is_empty() {
            comment = None;
            continue;
        }
        if let Some((name, value)) = assignment(line) {
            environment.insert(name.to_owned(), value);
            continue;
        }
        let described = comment.take();
        match entry(line, options, &environment) {
            Ok(mut job) => {
                let name = name_of(&job);
                job.insert("name".to_owned(), names.give(&name).into());
                if let Some(text) = described.filter(|text| !text.is_empty()) {
                    job.insert("description".to_owned(), literal(&text).into());
                }
                if options.image.is_none() {
                    let message = "it runs inside Roadstead, which AUTODEPLOY_ALLOW_COMMANDS must allow; \
                                   `--image` runs it in a container instead";
                    imported.warn(&span, message);
                }
                imported.add(job, &span, context);
            }
            Err(why) => imported.refuse(&span, why),
        }
    }
    for name in ["MAILTO", "MAILFROM"] {
        if environment.contains_key(name) {
            let place = Span::of_line(&source, 1);
            imported.warn(&place, format!("`{name}` has no effect: no mail is sent"));
        }
    }
    imported
}

/// `NAME=value`, with or without quotes and blanks around the `=`.
fn assignment(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim().trim_matches(['"', '\'']);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    let value = value.trim();
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)));
    Some((name, quoted.unwrap_or(value).to_owned()))
}

/// A job of a line, without a name.
fn entry(
    line: &str,
    options: &Options,
    environment: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, String> {
    // A dash before the line keeps it out of the system log.
    let mut rest = line.strip_prefix('-').unwrap_or(line);
    let count = match (rest.starts_with("@every"), rest.starts_with('@')) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 5,
    };
    let mut fields = Vec::new();
    for _ in 0..count + usize::from(options.has_users) {
        let end = rest.find(char::is_whitespace).ok_or("the line has no command")?;
        fields.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    let user = if options.has_users { fields.pop() } else { None };
    if rest.is_empty() {
        return Err("the line has no command".to_owned());
    }
    let (command, stdin) = percent(rest);
    let mut job = Map::new();
    let mut put = |key: &str, value: Value| drop(job.insert(key.to_owned(), value));
    put("name", Value::Null);
    put("schedule", literal(&fields.join(" ")).into());
    if let Some(zone) = environment.get("CRON_TZ").or_else(|| environment.get("TZ")) {
        put("timezone", literal(zone).into());
    }
    put("overlap", "allow".into());
    put("catch_up", "none".into());
    put("timeout", TIMEOUT.into());
    let shell = environment.get("SHELL").map_or("/bin/sh", String::as_str);
    let argv = literals([shell, "-c", &command]);
    let passed = environment.iter().filter(|(name, _)| {
        !matches!(name.as_str(), "SHELL" | "MAILTO" | "MAILFROM" | "CRON_TZ" | "RANDOM_DELAY")
    });
    let passed: Map<String, Value> =
        passed.map(|(name, value)| (name.clone(), literal(value).into())).collect();
    let mut keys = Map::new();
    if let Some(image) = &options.image {
        if stdin.is_some() {
            return Err("what stands behind `%` is read from the standard input, which `--image` has none of".to_owned());
        }
        keys.insert("image".to_owned(), literal(image).into());
        keys.insert("entrypoint".to_owned(), json!([]));
        keys.insert("command".to_owned(), argv);
        if let Some(user) = user {
            keys.insert("user".to_owned(), literal(user).into());
        }
    } else {
        if let Some(user) = user.filter(|user| *user != "root") {
            return Err(format!(
                "it runs as the user `{user}`, which a program inside Roadstead cannot: import it with \
                 `--image`"
            ));
        }
        keys.insert("argv".to_owned(), argv);
        if let Some(stdin) = stdin {
            keys.insert("stdin".to_owned(), literal(&stdin).into());
        }
    }
    if !passed.is_empty() {
        keys.insert("environment".to_owned(), Value::Object(passed));
    }
    let kind = if options.image.is_some() { "run" } else { "command" };
    put(kind, Value::Object(keys));
    Ok(job)
}

/// The command, and what stands behind its first `%`, where each further one is a line break.
fn percent(text: &str) -> (String, Option<String>) {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut().expect("there is one");
        match c {
            '\\' if chars.peek() == Some(&'%') => last.extend(chars.next()),
            '%' => parts.push(String::new()),
            c => last.push(c),
        }
    }
    let command = parts.remove(0).trim().to_owned();
    let stdin = (!parts.is_empty()).then(|| parts.join("\n") + "\n");
    (command, stdin)
}

/// A name made of the program.
fn name_of(job: &Map<String, Value>) -> String {
    let keys = job.get("command").map(|keys| &keys["argv"]);
    let argv = keys.or_else(|| job.get("run").map(|keys| &keys["command"]));
    let line = argv.and_then(|argv| argv.get(2)).and_then(Value::as_str).unwrap_or_default();
    let mut words = line.split_whitespace();
    let is_program = |word: &&str| {
        !word.contains('=')
            && !matches!(
                *word,
                "cd" | "test" | "[" | "sudo" | "nice" | "flock" | "env" | "exec" | "!"
            )
    };
    let program = words.find(is_program).unwrap_or("job");
    program.rsplit('/').next().unwrap_or(program).trim_end_matches(".sh").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::native::NoFiles;
    use crate::job::native::tests::settings;
    use crate::job::work::Work;
    use crate::problem::Problem;

    fn imported(text: &str, options: &Options) -> Imported {
        let settings = settings();
        let variables = &settings.variables;
        let context =
            Context { settings: &settings, variables, toplevel: &|_| None, files: &NoFiles };
        read(text, "crontab", options, &context)
    }

    #[test]
    fn reads_lines_as_cron_does() {
        let text = "# nightly backup\nSHELL=/bin/bash\nMAILTO=ops\nPATH = \"/usr/bin:/bin\"\nCRON_TZ=America/Toronto\n\
            0 2 * * * /opt/backup.sh --all > /dev/null 2>&1\n\n@daily date +\\%F; echo $HOME\n\
            */5 * * * * mail -s hi a@b%line one%line two\n@every 90s true\n0 2 * * * /opt/backup.sh\n";
        let imported = imported(text, &Options::default());
        let jobs: Vec<_> = imported.jobs.iter().map(|it| &it.job).collect();
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(
            names,
            ["backup", "date", "mail", "true", "backup-2"],
            "{:#?}",
            imported.problems
        );
        assert_eq!(jobs[0].timezone.name(), "America/Toronto");
        let Work::Command(command) = &jobs[0].work else { panic!("a command") };
        assert_eq!(command.argv, ["/bin/bash", "-c", "/opt/backup.sh --all > /dev/null 2>&1"]);
        assert_eq!(command.environment.keys().collect::<Vec<_>>(), ["PATH"]);
        let Work::Command(command) = &jobs[1].work else { panic!("a command") };
        assert_eq!(command.argv[2], "date +%F; echo $HOME");
        let Work::Command(command) = &jobs[2].work else { panic!("a command") };
        assert_eq!(command.stdin.as_deref(), Some(&b"line one\nline two\n"[..]));
        assert!(imported.problems.iter().all(Problem::is_warning));
    }

    #[test]
    fn reads_the_users_of_a_system_crontab() {
        let text = "17 * * * * root cd / && run-parts /etc/cron.hourly\n0 5 * * * www-data a b\n";
        let system = Options { image: None, has_users: true };
        let found = imported(text, &system);
        assert_eq!(found.jobs.len(), 1);
        assert!(found.problems.iter().any(|it| it.message.contains("`www-data`")));
        let image = Options { image: Some("alpine".to_owned()), ..system };
        let found = imported(text, &image);
        let Work::Run(run) = &found.jobs[1].job.work else { panic!("a run") };
        let run = run.container.unpack();
        assert_eq!(
            (run.service.user.as_deref(), run.service.image.as_str()),
            (Some("www-data"), "alpine")
        );
    }

    #[test]
    fn refuses_a_line_and_goes_on() {
        let found = imported("61 * * * * a\n* * *\n* * * * * b\n", &Options::default());
        assert_eq!(found.jobs.len(), 1);
        let told: Vec<String> = found.problems.iter().map(Problem::plain).collect();
        assert!(told.iter().any(|it| it.starts_with("crontab:1:1: `61` is no minute")), "{told:?}");
        assert!(
            told.iter().any(|it| it.starts_with("crontab:2:1: the line has no command")),
            "{told:?}"
        );
    }
}
