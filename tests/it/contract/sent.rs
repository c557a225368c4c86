//! Was it sent? What `GET /cache/{id}` tells of an empty report, and the names of activities.

use std::{fs, io::Write as _, time::Duration};

use crate::support::in_process::{InProcess, key, path};

/// Never sent.
const DRAFT: &str = "6cc0d637-cf3d-4ac6-aad7-21567698eb38";
/// Sent, and clicked by nobody.
const SILENT: &str = "3c4fcf09-8815-4ff7-8a2c-6d5e4b3a2910";

fn report(id: &str, query: &str) -> String {
    format!("/v3/reports/email_reports/{id}/links{query}")
}

#[tokio::test(start_paused = true)]
async fn the_two_reports_of_an_activity_tell_without_a_call_whether_it_was_sent() {
    let proxy = InProcess::new();
    let told = async |id: &str| {
        let sent = proxy.admin(&format!("/cache/{id}")).await.json()["sent"].clone();
        assert!(sent["why"].as_str().unwrap().len() > 10, "{sent}");
        sent["answer"].as_str().unwrap().to_owned()
    };
    for (id, query, expected) in [
        (DRAFT, "", "unknown"),
        (DRAFT, "?no_clicks=true", "probably_not"),
        (SILENT, "", "unknown"),
        (SILENT, "?no_clicks=true", "yes"),
        (&key(1).id.to_string(), "", "yes"),
    ] {
        assert_eq!(proxy.get(&report(id, query)).await.status, 200);
        assert_eq!(told(id).await, expected, "{id}{query}");
    }
    assert_eq!(told(&key(2).id.to_string()).await, "unknown", "nothing is held");
    assert_eq!(proxy.vendor.calls(), 5);

    proxy.vendor_fails(404);
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_eq!(proxy.get(&path(1)).await.status, 404);
    assert_eq!(told(&key(1).id.to_string()).await, "yes", "the report behind the 404 still tells");
}

#[tokio::test(start_paused = true)]
async fn activities_have_the_names_of_the_file_and_a_changed_file_is_read_again() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "\"{SILENT}\" = \"Easter\"").unwrap();
    let proxy = InProcess::with(&[("NAMES__FILE", file.path().to_str().unwrap())]);
    for id in [SILENT, DRAFT] {
        proxy.get(&report(id, "")).await;
    }
    let names = async || {
        let rows = proxy.admin("/cache").await.json()["items"].clone();
        let explained = async |id| proxy.admin(&format!("/cache/{id}")).await.json()["name"].clone();
        let told = [explained(SILENT).await, explained(DRAFT).await];
        assert_eq!([rows[0]["name"].clone(), rows[1]["name"].clone()], told);
        told.map(|name| name.as_str().map(str::to_owned))
    };
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(names().await, [named("Easter"), None]);
    for (content, expected, readable) in [
        (format!("\"{DRAFT}\" = \"Summer\""), [None, named("Summer")], 1.0),
        ("no names".to_owned(), [None, named("Summer")], 0.0),
        (format!("{SILENT} = \"E\"\n{DRAFT} = \"S\""), [named("E"), named("S")], 1.0),
    ] {
        // In one step: between the two of a plain write the file is empty, which names nothing.
        let written = file.path().with_extension("next");
        fs::write(&written, &content).unwrap();
        fs::rename(&written, file.path()).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(names().await, expected, "{content}");
        let metric = "link_report_proxy_secret_file_readable{key=\"names.file\"}";
        assert_eq!(proxy.metric(metric).await, readable, "{content}");
    }
}
