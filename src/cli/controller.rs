//! `vexil controller`: from flags to a running controller (spec 01 §5).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kube::api::{Api, DynamicObject, ListParams};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::cli::cluster::{self, Doing};
use crate::controller::caches::resource;
use crate::controller::calls::Calls;
use crate::controller::client::{self, Layers};
use crate::controller::clock::Clock;
use crate::controller::fence::{Claim, Fence};
use crate::controller::ids::Ids;
use crate::controller::leader::{Ended, Leader};
use crate::controller::lease::Timing;
use crate::controller::server::Server;
use crate::controller::telemetry::Telemetry;
use crate::controller::{Controller, Parts, logging};
use crate::http;
use crate::metrics::{self, Prometheus};
use crate::model::object::Kind;
use crate::model::release::Settings;
use crate::router::registry;

use super::go_flags::{self, Asked, ControllerFlags};
use super::signals::shutdown_signal;

/// Runs with these flags until it is told to stop.
pub(super) fn run(args: &[String]) -> ExitCode {
    let flags = match go_flags::parse(args, |name| std::env::var(name).ok()) {
        Ok(Asked::Run(flags)) => flags,
        Ok(Asked::Help(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Version) => {
            println!("Vexil version {VERSION}");
            return ExitCode::SUCCESS;
        }
        Err(refused) => {
            super::print::complain(&refused);
            return ExitCode::from(refused.exit_code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            super::print::complain(format_args!("vexil: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        let clock = Clock::system();
        let log = logging::subscriber(flags.log_level, flags.log_encoding, clock, std::io::stderr);
        // Fails only if there is a subscriber already, which then does the job.
        let _ = tracing::subscriber::set_global_default(log);
        match serve(&flags, clock).await {
            Ok(Ended::Released) => ExitCode::SUCCESS,
            Ok(Ended::Lost) => ExitCode::FAILURE,
            Err(error) => {
                error!("{error:#}");
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(3));
    code
}

async fn serve(flags: &ControllerFlags, clock: Clock) -> anyhow::Result<Ended> {
    info!("Starting vexil version {VERSION} mesh provider {}", flags.mesh_provider);
    flags.warnings.iter().for_each(|text| warn!("{text}"));
    if flags.shadow {
        info!("This instance is a shadow: it decides, writes nothing, and tells at /shadow what it would do");
    }
    if crate::api::Provider::parse(&flags.mesh_provider).and_then(registry::mesh).is_none() {
        bail!(
            "-mesh-provider={}: unknown mesh router provider (known are: {})",
            flags.mesh_provider,
            registry::known().join(", ")
        );
    }
    let Connected { main, address, mesh, remote_mesh, fence, telemetry } = connect(flags).await?;
    check_cluster(&main, &address, &flags.namespace).await?;
    let http = http::Client::within(flags.egress());
    greet_metrics_server(&http, &flags.metrics_server).await?;

    let ids = Ids::from_entropy();
    let identity = format!("{}_{}", hostname(), ids.uuid());
    let controller = Controller::new(Parts {
        client: main.clone(),
        mesh,
        http,
        settings: Settings { remote_mesh, ..flags.settings() },
        namespace: flags.namespace.clone(),
        event_webhook: flags.event_webhook.0.clone(),
        alerts: flags.alerts(),
        clock,
        ids,
        fence: fence.clone(),
        telemetry: Arc::clone(&telemetry),
    });
    let server =
        Server::bind(flags.port, telemetry, controller.readiness()).await?.showing(controller.shadow());
    // A shadow leads nothing, and a lease would be a write.
    let candidate = (flags.enable_leader_election && !flags.shadow)
        .then(|| Leader::new(main, flags.lease_namespace(), identity, Timing::default(), clock, fence));
    let (stop, stopped) = watch::channel(false);
    let written = controller.written();
    // The lease is given back when the last step is written, not before.
    let lead = async {
        let ended = match candidate {
            Some(leader) => leader.run(set(written)).await,
            None => {
                set(written).await;
                Ended::Released
            }
        };
        stop.send_replace(true);
        ended
    };
    let listen = async {
        tokio::select! {
            biased;
            () = shutdown_signal() => {}
            () = set(stopped.clone()) => {}
        }
        stop.send_replace(true);
    };
    let work = controller.run(set(stopped.clone()));
    let (ended, (), (), ()) = tokio::join!(lead, listen, work, server.run(set(stopped.clone())));
    Ok(ended)
}

/// Done when the flag is set, or nobody can set it any more.
async fn set(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

/// The way to the clusters.
struct Connected {
    main: kube::Client,
    /// Of the API server.
    address: ::http::Uri,
    mesh: kube::Client,
    /// Whether the mesh's is another cluster: its API server has another address.
    remote_mesh: bool,
    fence: Fence,
    telemetry: Arc<Telemetry>,
}

async fn connect(flags: &ControllerFlags) -> anyhow::Result<Connected> {
    let fence = match (flags.shadow, flags.enable_leader_election) {
        (true, _) => Fence::shadow(),
        (false, true) => Fence::new(Claim::None),
        (false, false) => Fence::new(Claim::Always),
    };
    let telemetry = Arc::new(Telemetry::new(VERSION, &flags.mesh_provider, fence.clone()));
    let layers = Layers { fence: fence.clone(), telemetry: Arc::clone(&telemetry), limit: flags.limit() };
    let config = config(&flags.kubeconfig, &flags.master).await.context("Error building kubeconfig")?;
    let address = config.cluster_url.clone();
    let main = client::connect(&config, layers.clone()).context("Error building kubernetes clientset")?;
    let mut remote_mesh = false;
    let mesh = if flags.kubeconfig_service_mesh.is_empty() {
        main.clone()
    } else {
        let config = self::config(&flags.kubeconfig_service_mesh, &flags.master)
            .await
            .context("Error building host kubeconfig")?;
        remote_mesh = config.cluster_url != address;
        client::connect(&config, layers).context("Error building mesh clientset")?
    };
    Ok(Connected { main, address, mesh, remote_mesh, fence, telemetry })
}

/// The cluster that the flags name. A log is read by more people than a kubeconfig: what stands in that is not repeated.
async fn config(kubeconfig: &str, master: &str) -> anyhow::Result<kube::Config> {
    let config = client::config(kubeconfig, master).await;
    config.map_err(|why| match why {
        client::Error::Kubeconfig { path, source } => {
            anyhow::Error::msg(cluster::unusable_config(&path, &source).in_one_line())
        }
        // The cause is in the text already.
        why => anyhow::Error::msg(why.to_string()),
    })
}

/// The cluster must be one that we can work on (spec 01 §5.2, steps 5 and 6).
async fn check_cluster(client: &kube::Client, address: &::http::Uri, namespace: &str) -> anyhow::Result<()> {
    for (kind, plural) in
        [("Canary", "canaries"), ("MetricTemplate", "metrictemplates"), ("AlertProvider", "alertproviders")]
    {
        let asked = Kind::new("flagger.app", "v1beta1", kind, plural);
        let resource = resource(asked);
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), namespace, &resource)
        };
        let doing = Doing::listing(asked, Some(namespace).filter(|name| !name.is_empty()));
        if let Err(why) = api.list_metadata(&ListParams::default().limit(1)).await {
            let why = cluster::trouble_at(address, &doing, &why).in_one_line();
            bail!("{kind} CRD is not registered: {why}");
        }
    }
    let version = client.apiserver_version().await.map_err(|why| match why {
        kube::Error::Api(status) => anyhow::anyhow!("Error calling Kubernetes API: {}", status.message),
        why => {
            let why = cluster::trouble_at(address, &Doing::listing(Kind::CANARY, None), &why).in_one_line();
            anyhow::anyhow!("Error calling Kubernetes API: {why}")
        }
    })?;
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
    let (Ok(major), Ok(minor)) = (number(&version.major), number(&version.minor)) else {
        bail!("Error parsing kubernetes version as a semantic version: {}.{}", version.major, version.minor);
    };
    if (major, minor) < (1, 11) {
        bail!("Unsupported version of kubernetes detected.  Expected ^1.11.0, got {}", version.git_version);
    }
    info!("Connected to Kubernetes API {}", version.git_version);
    Ok(())
}

/// An unreachable metrics server is worth a line and nothing more: it may come later.
async fn greet_metrics_server(http: &http::Client, url: &str) -> anyhow::Result<()> {
    let server = Prometheus::server(url)
        .map_err(|error| anyhow::anyhow!("Error building prometheus client: {error}"))?;
    let asked = metrics::Asked {
        query: String::new(),
        interval: Duration::from_secs(60),
        now: Clock::system().now(),
    };
    let answer = Calls::outside(http.clone()).online(&server, &asked).await;
    match answer {
        Ok(()) => info!("Connected to metrics server {}", http::shown_url(url)),
        Err(why) => error!("Metrics server {} unreachable {why}", http::shown_url(url)),
    }
    Ok(())
}

fn hostname() -> String {
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "vexil".to_owned())
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
