//! What is read from the answers of servers of all profiles.

use indexmap::IndexMap;

use super::*;
use crate::compose::model::Hidden;

fn work(url: &str) -> OgcProcess {
    OgcProcess {
        url: Hidden::new(url.to_owned()),
        process: "a b/c".to_owned(),
        provider: None,
        inputs: json!({}),
        outputs: None,
        mode: OgcMode::Async,
        login: None,
        headers: IndexMap::new(),
        poll: (Duration::from_secs(1), Duration::from_secs(30)),
        on_timeout: OnTimeout::Dismiss,
        ca_file: None,
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
    HttpAnswer {
        status,
        headers: headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        body: body.as_bytes().to_vec(),
        is_cut: false,
        url: Url::parse("http://s:5000/api/processes/p/execution").unwrap(),
        took: Duration::ZERO,
    }
}

#[test]
fn addresses_are_made_of_ids_whatever_they_hold() {
    let mut work = work("http://s/api/");
    assert_eq!(execution_address(&work), "http://s/api/processes/a%20b%2Fc/execution");
    work.provider = Some("finch".to_owned());
    let expected = "http://s/api/providers/finch/processes/a%20b%2Fc/execution";
    assert_eq!(execution_address(&work), expected);
}

#[test]
fn a_job_is_found_where_its_server_says() {
    let work = work("http://s:5000/api");
    let server = Server::new(&work).unwrap();
    for (status, headers, body, expected) in [
        (
            201,
            &[("location", "http://s:5000/api/jobs/1")][..],
            "",
            Some("http://s:5000/api/jobs/1"),
        ),
        (201, &[("location", "/api/jobs/2")], "{}", Some("http://s:5000/api/jobs/2")),
        // Another origin gets nothing of what is for this one.
        (201, &[("location", "http://evil/jobs/3")], "", Some("http://s:5000/api/jobs/3")),
        (201, &[], r#"{"jobID": "4"}"#, Some("http://s:5000/api/jobs/4")),
        (200, &[], r#"{"jobID": "5", "status": "accepted"}"#, Some("http://s:5000/api/jobs/5")),
        (200, &[], r#"{"id": "echo", "value": 1}"#, None),
        (200, &[("location", "/api/jobs/6")], r#"{"value": 1}"#, None),
        (201, &[], "", None),
    ] {
        let found = server.job_of(&answer(status, headers, body));
        assert_eq!(found.as_ref().map(Url::as_str), expected, "{status} {headers:?} {body}");
    }
}

#[test]
fn words_of_all_profiles_mean_the_same() {
    for (words, expected) in [
        (&["created", "accepted", "queued"][..], Some(Status::Queued)),
        (&["running", "started", "paused"], Some(Status::Running)),
        (&["successful", "succeeded", "finished", "Successful"], Some(Status::Succeeded)),
        (&["failed", "error", "exception"], Some(Status::Failed)),
        (&["dismissed"], Some(Status::Dismissed)),
        (&["", "nonsense"], None),
    ] {
        for word in words {
            assert_eq!(status(word), expected, "{word}");
        }
    }
}

#[test]
fn the_server_says_when_it_wants_to_be_asked_again() {
    let now = DateTime::parse_from_rfc3339("2026-03-01T12:00:00Z").unwrap().to_utc();
    for (text, expected) in [
        ("7", Some(7)),
        ("Sun, 01 Mar 2026 12:00:20 GMT", Some(20)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", None),
        ("soon", None),
    ] {
        let found = retry_after(&answer(200, &[("retry-after", text)], ""), now);
        assert_eq!(found, expected.map(Duration::from_secs), "{text}");
    }
    let document = json!({"nextPoll": "2026-03-01T12:00:05+00:00"});
    assert_eq!(next_poll(&document, now), Some(Duration::from_secs(5)));
    assert_eq!(next_poll(&json!({}), now), None);
}

#[test]
fn progress_and_problems_are_told_in_one_line() {
    for (document, expected) in [
        (json!({"status": "running", "progress": 40, "message": "half"}), "running, 40 %: half"),
        (json!({"status": "running", "percentCompleted": 7.5}), "running, 7.5 %"),
        (json!({}), "(no status)"),
    ] {
        assert_eq!(told_as(&document), expected);
    }
    for (status, body, expected) in [
        (
            404,
            r#"{"title": "No such process", "detail": "`x`"}"#,
            "answered 404: No such process: `x`",
        ),
        (400, r#"{"code": "InvalidParameterValue", "description": "bad"}"#, "answered 400: bad"),
        (500, "oops\n", "answered 500: oops"),
        (502, "", "answered 502"),
    ] {
        assert_eq!(problem(&answer(status, &[], body)), expected);
    }
}

#[test]
fn logs_are_lists_or_text_and_results_have_a_bound() {
    assert_eq!(log_lines(&answer(200, &[], r#"["a", "b"]"#)), ["a", "b"]);
    assert_eq!(log_lines(&answer(200, &[], "a\nb\n")), ["a", "b"]);
    assert!(log_lines(&answer(200, &[], "{}")).is_empty());
    assert_eq!(bounded(&answer(200, &[], r#"{"a": 1}"#)), json!({"a": 1}));
    assert_eq!(bounded(&answer(200, &[], "text")), json!("text"));
    let large = bounded(&answer(200, &[], &"x".repeat(LARGEST_RESULT + 1)));
    assert_eq!(large["beginning"].as_str().map(str::len), Some(LARGEST_RESULT));
}
