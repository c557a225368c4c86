//! What `--version` says: the version, and the revision and its date, if they are known. Works without git and without a
//! repository: in a container build the variable `LINK_REPORT_PROXY_REVISION` names the revision.

// Cargo reads standard output.
#![allow(clippy::print_stdout)]

use std::{env, process::Command};

fn main() {
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo:rerun-if-env-changed=LINK_REPORT_PROXY_REVISION");
    println!("cargo:rerun-if-env-changed=LINK_REPORT_PROXY_DATE");
    println!("cargo:rerun-if-changed=build.rs");
    let given = |name| env::var(name).ok().filter(|value| !value.is_empty() && value != "unknown");
    // A build for debugging is not made again with each commit.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let asked = |arguments: &[&str]| if is_release { git(arguments) } else { None };
    if let Some(head) = asked(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head}");
    }
    let revision = given("LINK_REPORT_PROXY_REVISION").or_else(|| asked(&["rev-parse", "HEAD"]));
    let date = given("LINK_REPORT_PROXY_DATE").or_else(|| asked(&["log", "-1", "--format=%cs"]));
    let short = revision.as_deref().map(|revision| revision.get(..7).unwrap_or(revision));
    let known: Vec<_> = short.into_iter().chain(date.as_deref()).collect();
    match known.as_slice() {
        [] => println!("cargo:rustc-env=LINK_REPORT_PROXY_VERSION={version}"),
        known => println!("cargo:rustc-env=LINK_REPORT_PROXY_VERSION={version} ({})", known.join(", ")),
    }
    // `/version` and the metric `build_info` show it.
    if let Some(revision) = revision {
        println!("cargo:rustc-env=LINK_REPORT_PROXY_REVISION={revision}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
