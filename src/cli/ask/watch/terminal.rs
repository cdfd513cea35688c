//! `vexil watch` in a terminal. However it ends, the terminal is left as it was found.

use std::io::{self, IsTerminal, Stdout, stdin, stdout};
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::by_hand;
use crate::cli::cluster::{Cluster, Trouble};
use crate::cli::print::{Tone, is_colourful};

use super::super::known::Known;
use super::super::live::{Change, Depth, Live};
use super::super::sight::Sight;
use super::board::{Board, Deed, Page};
use super::{Arguments, List, Stop, now};

/// Whether there is a terminal to draw in and to hear keys from.
pub(super) fn is_there() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && stdin().is_terminal() && !dumb
}

/// Shows the board until somebody leaves.
pub(super) async fn run(arguments: &Arguments, cluster: &Cluster) -> anyhow::Result<()> {
    // What is wrong before anything is drawn is said as by any other command.
    let mut source = Source::open(arguments, cluster).await?;
    let mut stop = Stop::new()?;
    let mut screen = Screen::open()?;
    let mut board = Board::new(is_colourful(arguments.colour.no_color));
    board.turn_to(source.page());
    let mut keys = EventStream::new();
    let (answer, mut answers) = mpsc::channel(8);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        screen.0.draw(|frame| board.draw(frame, now()))?;
        let deed = tokio::select! {
            () = stop.heard() => Some(Deed::Leave),
            // Times are shown to the second.
            _ = tick.tick() => None,
            Some((tone, text)) = answers.recv() => { board.say(tone, text); None }
            change = source.changed() => {
                if let Change::Broken(why) = &change {
                    board.say(Tone::Warning, format!("{}; trying again", why.what()));
                }
                board.page = source.page_after(&board.page);
                None
            }
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => board.press(key),
                Some(Ok(_)) => None,
                // The terminal is gone.
                Some(Err(_)) | None => Some(Deed::Leave),
            },
        };
        match deed {
            None => {}
            Some(Deed::Leave) => return Ok(()),
            Some(Deed::Back) => {
                source.close();
                board.turn_to(source.page());
            }
            Some(Deed::Open(name, namespace)) => match source.open_one(&name, &namespace).await {
                Ok(()) => board.turn_to(source.page()),
                Err(why) => board.say(Tone::Bad, why.what()),
            },
            Some(Deed::Request(action, name, namespace)) => {
                board.say(Tone::Faint, format!("{} {name}: asked…", action.as_str()));
                let (cluster, answer) = (Cluster { namespace, ..cluster.clone() }, answer.clone());
                tokio::spawn(async move {
                    let outcome = by_hand::ask(&cluster, action, &name, &by_hand::Wish::default()).await;
                    let said = match outcome {
                        Ok(said) => (Tone::Good, said),
                        Err(why) => (Tone::Bad, why.what().to_owned()),
                    };
                    // Nobody hears it if the board is gone.
                    let _ = answer.send(said).await;
                });
            }
        }
    }
}

/// Where the pages come from: the list, if there is one, and the release that is open.
struct Source<'a> {
    cluster: &'a Cluster,
    mesh_provider: Option<String>,
    everywhere: bool,
    list: Option<List>,
    one: Option<(String, Live)>,
}

impl<'a> Source<'a> {
    async fn open(arguments: &Arguments, cluster: &'a Cluster) -> Result<Self, Trouble> {
        let mesh_provider = arguments.mesh.provider().map(str::to_owned);
        let everywhere = arguments.all_namespaces;
        let mut source = Self { cluster, mesh_provider, everywhere, list: None, one: None };
        match &arguments.canary {
            Some(name) => source.open_one(name, &cluster.namespace).await?,
            None => source.list = Some(List::open(cluster, everywhere).await?),
        }
        Ok(source)
    }

    async fn open_one(&mut self, name: &str, namespace: &str) -> Result<(), Trouble> {
        let cluster = Cluster { namespace: namespace.to_owned(), ..self.cluster.clone() };
        let live = Live::open(&cluster, name, self.mesh_provider.as_deref(), Depth::All).await?;
        self.one = Some((format!("Canary {name}.{namespace}"), live));
        Ok(())
    }

    fn close(&mut self) {
        self.one = None;
    }

    /// Waits until something is different. The list is kept up while a release is open.
    async fn changed(&mut self) -> Change {
        match (&mut self.list, &mut self.one) {
            (Some(list), Some((_, live))) => tokio::select! {
                change = live.changed() => change,
                change = list.changed() => change,
            },
            (Some(list), None) => list.changed().await,
            (None, Some((_, live))) => live.changed().await,
            (None, None) => std::future::pending().await,
        }
    }

    fn page(&self) -> Page {
        self.page_after(&Page::Empty)
    }

    /// The page as it is now; the mark of the list stays at its Canary.
    fn page_after(&self, before: &Page) -> Page {
        let can_go_back = self.list.is_some();
        if let Some((title, live)) = &self.one {
            return match live.seen() {
                Some(seen) => Page::One { sight: Box::new(Sight::of(seen)), can_go_back },
                None => Page::Gone { title: title.clone(), can_go_back },
            };
        }
        let canaries: Vec<Known> =
            self.list.iter().flat_map(|list| list.canaries.values().cloned()).collect();
        let marked = match before {
            Page::List { canaries: old, marked, .. } => {
                let title = old.get(*marked).map(Known::title);
                let same = canaries.iter().position(|known| Some(known.title()) == title);
                same.unwrap_or_else(|| (*marked).min(canaries.len().saturating_sub(1)))
            }
            _ => 0,
        };
        Page::List { canaries, marked, everywhere: self.everywhere }
    }
}

/// The terminal while it is ours. It is given back when this is dropped, and in a panic before its message is printed.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        Ok(Self(ratatui::try_init()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// How often the times are drawn anew.
const TICK: Duration = Duration::from_secs(1);
