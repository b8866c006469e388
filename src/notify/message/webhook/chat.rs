//! What people who chat are told: the same facts in the forms that their servers take.

use serde_json::{Value, json};

use super::Facts;
use crate::notify::Change;

impl Facts {
    /// What happened, in one line without any marks.
    fn headline(&self, change: Change) -> String {
        let (job, host) = (&self.job, &self.host);
        match change {
            Change::Failing => format!("{job} is failing on {host}"),
            Change::Recovered => format!("{job} has recovered on {host}"),
        }
    }

    /// How the run ended.
    fn end(&self) -> String {
        let (run, outcome) = (self.run, self.ending.outcome.as_str().replace('_', " "));
        match self.ending.message.as_str() {
            "" => format!("run {run} {outcome}"),
            message => format!("run {run} {outcome}: {message}"),
        }
    }

    /// The end of the output of a run that failed: of one that is well nobody asks for it.
    fn output(&self, change: Change) -> &str {
        match change {
            Change::Failing => self.tail.trim_end(),
            Change::Recovered => "",
        }
    }
}

/// The colour of a change, as Ofelia's messages have it.
fn color(change: Change) -> &'static str {
    match change {
        Change::Failing => "#F35A00",
        Change::Recovered => "#7CD197",
    }
}

/// An incoming webhook of Slack. <https://api.slack.com/messaging/webhooks>
pub(super) fn slack(facts: &Facts, change: Change) -> String {
    // Slack's own three marks. <https://api.slack.com/reference/surfaces/formatting#escaping>
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut attachment = json!({"color": color(change), "title": escaped(&facts.end())});
    let output = facts.output(change);
    if !output.is_empty() {
        // A fence inside the output would end ours.
        attachment["text"] = format!("```{}```", escaped(&output.replace("```", "'''"))).into();
        attachment["mrkdwn_in"] = json!(["text"]);
    }
    json!({"text": escaped(&facts.headline(change)), "attachments": [attachment]}).to_string()
}

/// An incoming webhook of Microsoft Teams, as both its connectors and its workflows take it.
/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>
pub(super) fn teams(facts: &Facts, change: Change) -> String {
    let (tone, output) = match change {
        Change::Failing => ("attention", facts.output(change)),
        Change::Recovered => ("good", ""),
    };
    let block = |text: &str| json!({"type": "TextBlock", "text": text, "wrap": true});
    let mut headline = block(&facts.headline(change));
    headline["weight"] = "bolder".into();
    headline["color"] = tone.into();
    let mut body = vec![headline, block(&facts.end())];
    if !output.is_empty() {
        let mut output = block(&lines_apart(output));
        output["fontType"] = "monospace".into();
        body.push(output);
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": body,
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
    });
    json!({"type": "message", "attachments": [attachment]}).to_string()
}

/// In a card a single line break is none.
fn lines_apart(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("\n\n")
}

/// A message of Gotify. <https://gotify.net/docs/pushmsg>
pub(super) fn gotify(facts: &Facts, change: Change) -> String {
    let mut message = facts.end();
    let output = facts.output(change);
    if !output.is_empty() {
        message.push_str("\n\n");
        message.push_str(output);
    }
    // From 8 on a phone rings.
    let priority = match change {
        Change::Failing => 8,
        Change::Recovered => 4,
    };
    let told: Value =
        json!({"title": facts.headline(change), "message": message, "priority": priority});
    told.to_string()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::job::WebhookFormat;
    use crate::run::{Ending, Outcome, Reason};

    fn facts() -> Facts {
        let at = DateTime::from_timestamp(1_795_237_620, 0).unwrap();
        let message = "exited with 3 after 2 s";
        let ending = Ending {
            exit_code: Some(3),
            ..Ending::new(Outcome::Failed, Reason::ExitedNonZero, message)
        };
        Facts {
            job: "backup".to_owned(),
            run: 42,
            started: at,
            ended: at,
            ending,
            tail: "reading <a> & b\nno space ```left```\n".to_owned(),
            host: "dock1".to_owned(),
        }
    }

    fn well() -> Facts {
        let ending = Ending::new(Outcome::Succeeded, Reason::ExitedZero, "exited with 0");
        Facts { ending, ..facts() }
    }

    #[test]
    fn each_form_has_its_body() {
        let rows = [
            (
                WebhookFormat::Slack,
                json!({"text": "backup is failing on dock1", "attachments": [{
                    "color": "#F35A00",
                    "title": "run 42 failed: exited with 3 after 2 s",
                    "text": "```reading &lt;a&gt; &amp; b\nno space '''left'''```",
                    "mrkdwn_in": ["text"],
                }]}),
                json!({"text": "backup has recovered on dock1", "attachments": [{
                    "color": "#7CD197", "title": "run 42 succeeded: exited with 0",
                }]}),
            ),
            (
                WebhookFormat::Teams,
                card(&json!([
                    {"type": "TextBlock", "text": "backup is failing on dock1", "wrap": true,
                     "weight": "bolder", "color": "attention"},
                    {"type": "TextBlock", "text": "run 42 failed: exited with 3 after 2 s", "wrap": true},
                    {"type": "TextBlock", "text": "reading <a> & b\n\nno space ```left```",
                     "wrap": true, "fontType": "monospace"},
                ])),
                card(&json!([
                    {"type": "TextBlock", "text": "backup has recovered on dock1", "wrap": true,
                     "weight": "bolder", "color": "good"},
                    {"type": "TextBlock", "text": "run 42 succeeded: exited with 0", "wrap": true},
                ])),
            ),
            (
                WebhookFormat::Gotify,
                json!({"title": "backup is failing on dock1", "priority": 8,
                       "message": "run 42 failed: exited with 3 after 2 s\n\nreading <a> & b\nno space ```left```"}),
                json!({"title": "backup has recovered on dock1", "priority": 4,
                       "message": "run 42 succeeded: exited with 0"}),
            ),
        ];
        for (format, failing, recovered) in rows {
            let told = facts().body(format, Change::Failing, None);
            assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), failing, "{format:?}");
            let told = well().body(format, Change::Recovered, Some(Outcome::Failed));
            assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), recovered, "{format:?}");
        }
    }

    fn card(body: &Value) -> Value {
        json!({"type": "message", "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard", "version": "1.2", "body": body,
            },
        }]})
    }
}
