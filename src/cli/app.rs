//! `vexil app`: an application for first releases. It answers with its version, and behaves as that says, in the words of
//! the demo's tags: `3.0-broken` fails some of its requests, `4.0-slow` is slow, `5.0-crash` crashes.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use crate::api::duration;
use crate::http;

use self::pages::App;
use super::signals::shutdown_signal;
use super::tags::{self, CRASH, Pods};

mod pages;

/// What the application is told.
#[derive(Args)]
pub(super) struct Arguments {
    /// Its version, which says how it behaves: 2.0 is good, 3.0-broken fails 7 % of the requests, 4.0-slow and 8.0-latency-800ms
    /// are slow, 7.0-errors-2.5 fails 2.5 %, 5.0-crash ends soon, 5.0-stuck never gets ready
    #[arg(long = "app-version", env = "APP_VERSION", default_value = "1.0", value_parser = version)]
    version: String,
    /// What it says beside its version
    #[arg(long, env = "APP_MESSAGE", default_value = "greetings from a release", value_name = "TEXT")]
    message: String,
    /// Port to listen on
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// How long it goes on serving once it is told to end, so that proxies hear of it
    #[arg(long, default_value = "5s", value_parser = duration::parse, value_name = "DURATION")]
    drain: Duration,
}

/// Serves until it is told to end.
///
/// # Errors
/// If the port cannot be listened on, or when the version is one that crashes.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let stop = shutdown_signal();
    let port = arguments.port;
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => listener,
        // A machine without IPv6; any other trouble shows here again.
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .await
            .with_context(|| format!("port {port} cannot be listened on: choose another with --port"))?,
    };
    let address = listener.local_addr().context("a socket without an address")?;
    let behaviour = tags::of_tag(&arguments.version);
    println!("version {} listens on port {}", arguments.version, address.port());
    let app = Arc::new(App::new(&arguments.version, &arguments.message, behaviour));
    let ending = Arc::clone(&app);
    let drain = arguments.drain;
    let told = async move {
        stop.await;
        ending.ends();
        tokio::time::sleep(drain).await;
    };
    let serving = http::serve(listener, pages::routes(app), CONNECTIONS, told, GRACE);
    if behaviour.pods != Pods::Crash {
        serving.await;
        return Ok(());
    }
    tokio::select! {
        _ = serving => Ok(()),
        () = tokio::time::sleep(CRASH) => anyhow::bail!("version {} crashes, as it says", arguments.version),
    }
}

/// A version, as a tag of an image could be one.
fn version(text: &str) -> Result<String, String> {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.len() {
        1..=128 if text.chars().all(is_sign) => Ok(text.to_owned()),
        _ => Err("a version has 1 to 128 letters, digits, dots, dashes and underscores".to_owned()),
    }
}

/// Connections at once.
const CONNECTIONS: usize = 4096;
/// How long requests that have begun may take to their end.
const GRACE: Duration = Duration::from_secs(10);
