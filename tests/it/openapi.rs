//! What `/openapi.json` says and what the code knows are the same routes, statuses and error keys.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    repo::sources,
    support::in_process::{InProcess, key},
};

const DATA_PORT: &str = "http://127.0.0.1:8080";

const WITH_ALL: (&str, &str) = ("STATUS__ENABLED", "true");

async fn described(proxy: &InProcess) -> Value {
    let answer = proxy.admin("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    answer.json()
}

/// The paths of one port.
fn paths(described: &Value, of_data_port: bool) -> BTreeSet<String> {
    let all = described["paths"].as_object().unwrap().iter();
    let of_port = all.filter(|(_, item)| (item["servers"][0]["url"] == DATA_PORT) == of_data_port);
    of_port.map(|(path, _)| path.clone()).collect()
}

/// A file of `src/`, without its tests.
fn source(path: &str) -> String {
    let file = sources().into_iter().find(|source| source.path == path).unwrap();
    file.text.split("#[cfg(test)]").next().unwrap().to_owned()
}

/// The string literals of a text that consist of such characters only.
fn literals(text: &str, allowed: fn(char) -> bool) -> BTreeSet<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let quoted = code.split('"').skip(1).step_by(2);
    quoted.filter(|text| !text.is_empty() && text.chars().all(allowed)).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn every_route_is_described_and_every_described_route_is_there() {
    let proxy = InProcess::with(&[WITH_ALL]);
    let described = described(&proxy).await;
    let id = key(1).id.to_string();
    let data = paths(&described, true);
    assert_eq!(data.len(), 4);
    for path in data {
        assert_eq!(proxy.get(&path.replace("{campaign_activity_id}", &id)).await.status, 200, "{path}");
    }
    let routes =
        literals(&source("admin/routes.rs"), |char| char.is_ascii_lowercase() || "/._".contains(char));
    let routes = routes.into_iter().filter(|text| text.starts_with('/'));
    // What ends with a slash goes on with an id.
    let routes: BTreeSet<_> = routes
        .map(
            |path| if path.len() > 1 && path.ends_with('/') { path + "{campaign_activity_id}" } else { path },
        )
        .collect();
    assert_eq!(paths(&described, false), routes);
}

#[tokio::test(start_paused = true)]
async fn every_status_and_error_key_of_the_data_port_is_described() {
    let described = described(&InProcess::new()).await;
    let statuses = literals(&source("inbound/outcome.rs"), |char| char.is_ascii_digit());
    assert!(statuses.len() > 8, "{statuses:?}");
    for path in paths(&described, true) {
        for method in ["get", "head"] {
            let responses = described["paths"][&path][method]["responses"].as_object().unwrap();
            assert_eq!(responses.keys().cloned().collect::<BTreeSet<_>>(), statuses, "{method} {path}");
        }
    }
    let listed =
        described["components"]["schemas"]["Problem"]["properties"]["error_key"]["anyOf"][0]["enum"].clone();
    let listed: BTreeSet<String> = serde_json::from_value(listed).unwrap();
    let snake_case = |char: char| char.is_ascii_lowercase() || char == '_';
    // Each is the first argument of a row of the table of causes, or of an arm of the table of statuses.
    let causes = source("report/cause.rs");
    let rows: String =
        causes.split("row(\"").skip(1).map(|row| format!("\"{}\"", row.split('"').next().unwrap())).collect();
    let mut known = literals(&rows, snake_case);
    known.extend(literals(&source("inbound/problem.rs"), snake_case));
    known.extend(["bad_request", "not_found"].map(str::to_owned));
    assert_eq!(listed, known);
}
