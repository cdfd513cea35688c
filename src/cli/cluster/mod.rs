//! The cluster that a command speaks to: which one it is, how to reach it, and what is said when it does not answer.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::api::{Api, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::Value;

use crate::controller::caches::{plain, resource};
use crate::manifest::nearest;
use crate::model::object::{Kind, ObjectId};

pub(super) use self::trouble::{Doing, Trouble, unusable_config};

mod trouble;

/// Which cluster, and where in it.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Place {
    /// Context of the kubeconfig (by default its current one)
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig (by default the files in $KUBECONFIG, else ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the Canary (by default that of the context)
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub(super) struct Cluster {
    pub client: kube::Client,
    /// The namespace that was asked for, or that of the context.
    pub namespace: String,
    pub name: Name,
}

/// A cluster, for people: its context and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `None` where no context was chosen: in a pod, and by a flag of the controller.
    pub context: Option<String>,
    pub address: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => write!(f, "the cluster of context {context} ({})", self.address),
            None => write!(f, "the cluster at {}", self.address),
        }
    }
}

impl Cluster {
    /// The cluster at `place`; nothing is asked of it yet.
    ///
    /// # Errors
    /// If there is no usable kubeconfig.
    pub(super) async fn connect(place: &Place) -> Result<Self, Trouble> {
        Self::connect_with(place, true).await
    }

    /// As [`Cluster::connect`], but no request is made again by itself: what is answered first is what is heard, also
    /// where it is a 503 of what is behind a proxy.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub(super) async fn connect_once(place: &Place) -> Result<Self, Trouble> {
        Self::connect_with(place, false).await
    }

    /// A cluster that is reached in another way, and what it is called.
    #[cfg(feature = "embedded")]
    pub(super) fn of(client: kube::Client, namespace: &str, address: &str) -> Self {
        let name = Name { context: None, address: address.to_owned() };
        Self { client, namespace: namespace.to_owned(), name }
    }

    async fn connect_with(place: &Place, again: bool) -> Result<Self, Trouble> {
        let (mut config, context) = config(place).await?;
        config.default_retry = again;
        config.connect_timeout = Some(PATIENCE);
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let name = Name { context, address: address(&config.cluster_url) };
        let client = kube::Client::try_from(config).map_err(|why| trouble::unusable(&name, &why))?;
        Ok(Self { client, namespace, name })
    }

    /// The objects of a kind, in one namespace or in all.
    pub(super) fn all(&self, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if !kind.cluster_wide => {
                Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
            }
            _ => Api::all_with(self.client.clone(), &resource(kind)),
        }
    }

    /// One object; `None` if it, or its kind, does not exist.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn get(&self, id: &ObjectId) -> Result<Option<Value>, kube::Error> {
        let namespace = (!id.namespace.is_empty()).then_some(id.namespace.as_str());
        Ok(self.all(id.kind, namespace).get_opt(&id.name).await?.and_then(plain))
    }

    /// All objects of a kind in a namespace, or in all, that have these labels.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selected: &ListParams,
    ) -> Result<Vec<Value>, kube::Error> {
        let list = self.all(kind, namespace).list(selected).await?;
        Ok(list.items.into_iter().filter_map(plain).collect())
    }

    /// The Canaries of a namespace, or of all.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) async fn canaries(&self, namespace: Option<&str>) -> Result<Vec<Value>, Trouble> {
        let found = self.list(Kind::CANARY, namespace, &ListParams::default()).await;
        found.map_err(|why| self.trouble(Doing::listing(Kind::CANARY, namespace), &why))
    }

    /// The Canary of this name in the namespace of the command.
    ///
    /// # Errors
    /// If it cannot be read, or does not exist: then with the names that were probably meant.
    pub(super) async fn canary(&self, name: &str) -> Result<Value, Trouble> {
        let id = Kind::CANARY.at(&self.namespace, name);
        match self.get(&id).await {
            Ok(Some(canary)) => Ok(canary),
            Ok(None) => Err(self.no_canary(name).await),
            Err(why) => Err(self.trouble(Doing::reading(&id), &why)),
        }
    }

    /// What is said of a Canary that is not there.
    pub(super) async fn no_canary(&self, name: &str) -> Trouble {
        let here = match self.canaries(Some(&self.namespace)).await {
            Ok(here) => here,
            // Without the CRD there can be no Canary at all.
            Err(why) if why.is_missing_kind() => return why,
            Err(_) => Vec::new(),
        };
        let mut trouble = Trouble::new(format!(
            "there is no Canary {name} in namespace {}, in {}",
            self.namespace, self.name
        ));
        let here: Vec<&str> = here.iter().filter_map(|canary| canary["metadata"]["name"].as_str()).collect();
        if let Some(meant) = nearest(name, here.iter().copied()) {
            trouble = trouble.cure(format!("did you mean {meant}?"));
        }
        // Whoever may not look elsewhere is told what there is here.
        let all = self.list(Kind::CANARY, None, &ListParams::default()).await.unwrap_or_default();
        let elsewhere: Vec<&str> = all
            .iter()
            .filter(|canary| canary["metadata"]["name"] == name)
            .filter_map(|canary| canary["metadata"]["namespace"].as_str())
            .collect();
        if !elsewhere.is_empty() {
            trouble = trouble.cure(format!(
                "one of that name is in {}: add -n {}",
                elsewhere.join(", "),
                elsewhere[0]
            ));
        }
        match here.len() {
            0 if elsewhere.is_empty() => trouble.cure(format!(
                "there is none at all in that namespace; {} get -A lists those of all",
                super::print::program()
            )),
            0 => trouble,
            _ => trouble.cure(format!("in {} there are: {}", self.namespace, few(&here))),
        }
    }

    /// What is said of a request that failed.
    pub(super) fn trouble(&self, doing: Doing, why: &kube::Error) -> Trouble {
        trouble::explain(&self.name, &doing, why)
    }
}

/// What is said of a request to the cluster at `url` that failed.
pub(super) fn trouble_at(url: &http::Uri, doing: &Doing, why: &kube::Error) -> Trouble {
    trouble::explain(&Name { context: None, address: address(url) }, doing, why)
}

/// The first names of a list that may be long.
fn few(names: &[&str]) -> String {
    let (shown, rest) = names.split_at(names.len().min(FEW));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    shown.join(", ") + &more
}

async fn config(place: &Place) -> Result<(kube::Config, Option<String>), Trouble> {
    let read = match &place.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        Err(KubeconfigError::FindPath | KubeconfigError::ReadConfig(..))
            if place.kubeconfig.is_none() && place.context.is_none() && trouble::is_in_pod() =>
        {
            let config = kube::Config::incluster().map_err(|why| {
                Trouble::new(format!("there is no kubeconfig, and this pod has no account: {why}"))
            })?;
            return Ok((config, None));
        }
        Err(why) => return Err(trouble::no_kubeconfig(place.kubeconfig.as_deref(), &why)),
    };
    let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let wanted = place.context.clone().or_else(|| kubeconfig.current_context.clone());
    let wanted = wanted.filter(|name| !name.is_empty());
    let Some(wanted) = wanted.filter(|name| contexts.contains(name)) else {
        return Err(trouble::no_context(place.context.as_deref(), &kubeconfig, &contexts));
    };
    let options = KubeConfigOptions { context: Some(wanted.clone()), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|why| trouble::bad_context(&wanted, &why))?;
    Ok((config, Some(wanted)))
}

/// The address without what could be a password.
fn address(url: &http::Uri) -> String {
    let scheme = url.scheme_str().unwrap_or("https");
    let host = url.host().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    format!("{scheme}://{host}{port}{path}")
}

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names that fit into a sentence.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://10.0.0.1:6443/", "https://10.0.0.1:6443")]
    #[case("https://me:secret@host/k8s/c-1", "https://host/k8s/c-1")]
    #[case("http://[::1]:8001", "http://[::1]:8001")]
    fn an_address_is_told_without_a_password(#[case] url: &str, #[case] expected: &str) {
        assert_eq!(expected, address(&url.parse().expect("a URL")));
    }
}
