//! `vexil watch`: one release, or all Canaries, as they change: in a terminal as a picture with keys, elsewhere a line
//! for each change.

use std::collections::BTreeMap;

use anyhow::Context;
#[cfg(feature = "embedded")]
use chrono::{DateTime, Utc};
use clap::Args;
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::cluster::{Cluster, Doing, Place, Trouble};
use crate::cli::picture::lines::{self, News};
use crate::cli::print;
use crate::controller::caches::plain;
use crate::controller::clock::Clock;
use crate::model::object::Kind;

use super::known::Known;
use super::live::{Change, Depth, Live, cause, events};
use super::news::{news, told};
use super::sight::Sight;
use super::{Colour, Mesh};

#[cfg(feature = "embedded")]
mod board;
#[cfg(feature = "embedded")]
mod terminal;

/// The command line of `vexil watch`.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Name of a Canary (by default all are listed)
    canary: Option<String>,
    /// Those of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "canary"])]
    all_namespaces: bool,
    /// A line for each change, as without a terminal
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    mesh: Mesh,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    colour: Colour,
}

/// Shows it until somebody has seen enough.
pub(in crate::cli) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&arguments.place).await?;
    #[cfg(feature = "embedded")]
    if !arguments.plain && terminal::is_there() {
        return terminal::run(arguments, &cluster).await;
    }
    #[cfg(not(feature = "embedded"))]
    let _ = (arguments.plain, &arguments.colour);
    let mut stop = Stop::new()?;
    tokio::select! {
        biased;
        () = stop.heard() => Ok(()),
        ended = lines(arguments, &cluster) => ended,
    }
}

async fn lines(arguments: &Arguments, cluster: &Cluster) -> anyhow::Result<()> {
    match &arguments.canary {
        Some(name) => one(cluster, name, arguments.mesh.provider()).await,
        None => all(cluster, arguments.all_namespaces).await,
    }
}

/// A line for each change of one release, until it is deleted.
async fn one(cluster: &Cluster, name: &str, mesh_provider: Option<&str>) -> anyhow::Result<()> {
    let mut live = Live::open(cluster, name, mesh_provider, Depth::All).await?;
    let mut before: Option<Sight> = None;
    loop {
        if let Some(seen) = live.seen().filter(|_| live.is_complete()) {
            let sight = Sight::of(seen);
            say(news(before.as_ref(), &sight), "")?;
            before = Some(sight);
        }
        match live.changed().await {
            Change::Changed => {}
            Change::Gone => return say(vec![News::Gone], ""),
            Change::Broken(why) if why.is_passing() => {
                print::complain(format_args!("vexil: {}; trying again", why.what()))
            }
            Change::Broken(why) => return Err(why.into()),
        }
    }
}

/// A line for each change of any Canary.
async fn all(cluster: &Cluster, everywhere: bool) -> anyhow::Result<()> {
    let mut list = List::open(cluster, everywhere).await?;
    let mut before: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        for (title, known) in &list.canaries {
            say(told(before.get(title), known), &format!("{title}  "))?;
        }
        for title in before.keys().filter(|title| !list.canaries.contains_key(*title)) {
            say(vec![News::Gone], &format!("{title}  "))?;
        }
        before.clone_from(&list.canaries);
        match list.changed().await {
            Change::Broken(why) if why.is_passing() => {
                print::complain(format_args!("vexil: {}; trying again", why.what()))
            }
            Change::Broken(why) => return Err(why.into()),
            Change::Changed | Change::Gone => {}
        }
    }
}

fn say(news: Vec<News>, whose: &str) -> anyhow::Result<()> {
    let now = Clock::system().now();
    news.into_iter().try_for_each(|news| print::put(&format!("{whose}{}\n", clean(&lines::line(now, &news)))))
}

/// On one line, whatever a cluster says.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// All Canaries of a namespace or of the cluster, kept up by a watch.
struct List {
    cluster: Cluster,
    namespace: Option<String>,
    /// By `name.namespace`.
    canaries: BTreeMap<String, Known>,
    stream: BoxStream<'static, Result<Event<DynamicObject>, watcher::Error>>,
    shown: Vec<String>,
}

impl List {
    async fn open(cluster: &Cluster, everywhere: bool) -> Result<Self, Trouble> {
        let namespace = (!everywhere).then(|| cluster.namespace.clone());
        let canaries = cluster.canaries(namespace.as_deref()).await?;
        let known = canaries.iter().map(Known::of).map(|known| (known.title(), known));
        Ok(Self {
            canaries: known.collect(),
            stream: events(cluster.all(Kind::CANARY, namespace.as_deref()), watcher::Config::default()),
            shown: Vec::new(),
            cluster: cluster.clone(),
            namespace,
        })
    }

    /// Waits until something is different.
    async fn changed(&mut self) -> Change {
        loop {
            let Some(event) = self.stream.next().await else { return Change::Gone };
            let known = |object: DynamicObject| plain(object).as_ref().map(Known::of);
            let before = self.canaries.clone();
            match event {
                Ok(Event::Init) => self.shown.clear(),
                Ok(Event::InitApply(object)) => {
                    if let Some(known) = known(object) {
                        self.shown.push(known.title());
                        self.canaries.insert(known.title(), known);
                    }
                }
                Ok(Event::InitDone) => self.canaries.retain(|title, _| self.shown.contains(title)),
                Ok(Event::Apply(object)) => {
                    self.canaries.extend(known(object).map(|known| (known.title(), known)));
                }
                Ok(Event::Delete(object)) => {
                    if let Some(known) = known(object) {
                        self.canaries.remove(&known.title());
                    }
                }
                Err(why) => {
                    let doing = Doing::watching(Kind::CANARY, self.namespace.as_deref());
                    if let Some(why) = cause(why) {
                        return Change::Broken(self.cluster.trouble(doing, &why));
                    }
                }
            }
            if before != self.canaries {
                return Change::Changed;
            }
        }
    }
}

/// The signals that end this program. Ctrl-C is among them where the terminal does not hand it over as a key.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> anyhow::Result<Self> {
        let hear = |kind| signal(kind).context("signals cannot be heard");
        Ok(Self([
            hear(SignalKind::interrupt())?,
            hear(SignalKind::terminate())?,
            hear(SignalKind::hangup())?,
        ]))
    }

    async fn heard(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The time, for what is drawn.
#[cfg(feature = "embedded")]
fn now() -> DateTime<Utc> {
    Clock::system().now()
}
