//! GitHub: the status of the commit that is released, or a deployment of it. Additive.
//!
//! `address` is that of the repository, `https://github.com/<owner>/<name>` or the same on an Enterprise server; `token`
//! may write statuses, or deployments, of it. The commit is that of the Canary's annotation `flagger.app/commit`, which is
//! written together with the image. GitHub itself remembers which deployment is that of a commit.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::model::call::{Auth, Body, Heard, Method, Next, Secret, What};

use super::endpoint::Endpoint;
use super::{COMMIT, Call, Channel, Error, Message, Notifier, Refused, Standing, heard_of, shortened};

/// A repository and the right to write to it.
struct Repository {
    endpoint: Endpoint,
    token: Secret,
}

impl Repository {
    fn new(service: &'static str, channel: &Channel) -> Result<Self, Error> {
        let mut endpoint = Endpoint::new("GitHub repository", channel)?;
        let token = channel.secret_token().ok_or(Error::NoKey(service))?;
        endpoint.url = api(&endpoint.url).ok_or_else(|| Error::Spec {
            service,
            problem: "the address is that of no repository: write https://github.com/<owner>/<name>"
                .to_owned(),
        })?;
        Ok(Self { endpoint, token })
    }

    fn post(&self, path: &[&str], payload: &impl Serialize) -> Call {
        let mut endpoint = self.endpoint.clone();
        if let Ok(mut parts) = endpoint.url.path_segments_mut() {
            parts.extend(path);
        }
        let header = |name: &str, value: &str| (name.to_owned(), value.into());
        Call {
            auth: Auth::Bearer(self.token.clone()),
            headers: vec![
                header("Accept", "application/vnd.github+json"),
                header("X-GitHub-Api-Version", "2022-11-28"),
            ],
            ..endpoint.post(payload)
        }
    }

    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Call {
        Call {
            method: Method::Get,
            body: Body::None,
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..self.post(path, &())
        }
    }
}

/// The address of a repository in the API of its server.
fn api(repository: &Url) -> Option<Url> {
    let parts: Vec<&str> = repository.path_segments()?.filter(|part| !part.is_empty()).collect();
    let [owner, name] = parts.as_slice() else { return None };
    let mut url = repository.clone();
    url.set_query(None);
    url.set_fragment(None);
    let root: &[&str] = if repository.host_str() == Some("github.com") {
        url.set_host(Some("api.github.com")).ok()?;
        &[]
    } else {
        &["api", "v3"]
    };
    let name = name.strip_suffix(".git").unwrap_or(name);
    url.path_segments_mut().ok()?.clear().extend(root).extend(["repos", owner, name]);
    Some(url)
}

/// The commit that `message` speaks of.
fn commit(message: &Message) -> Result<&str, Refused> {
    let commit = message.commit.as_deref().filter(|commit| !commit.is_empty());
    commit.ok_or_else(|| Refused {
        why: format!("the Canary has no annotation {COMMIT}, which says what commit is released"),
        passing: false,
    })
}

/// The status of the commit that is released.
pub(super) struct Statuses(Repository);

impl Statuses {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        Ok(Self(Repository::new("github", channel)?))
    }
}

impl Notifier for Statuses {
    fn request(&self, message: &Message) -> Call {
        let status = Status {
            state: match message.standing() {
                Standing::Underway | Standing::Waiting => "pending",
                Standing::Good => "success",
                Standing::Bad => "failure",
            },
            context: format!("vexil/{}/{}", message.namespace, message.name),
            description: shortened(&message.text, LONGEST_DESCRIPTION),
        };
        self.0.post(&["statuses", message.commit.as_deref().unwrap_or_default()], &status)
    }

    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        match (commit(message), heard.last()) {
            (Err(refused), _) => Next::Done(Err(refused)),
            (Ok(_), None) => Next::send(self.request(message)),
            (Ok(_), Some(heard)) => Next::Done(heard_of(self, heard)),
        }
    }
}

/// The deployment of the commit that is released.
pub(super) struct Deployments {
    repository: Repository,
    environment: Option<String>,
}

impl Deployments {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let repository = Repository::new("githubdeployment", channel)?;
        let named = channel.channel != super::channel::DEFAULT_CHANNEL;
        Ok(Self { repository, environment: named.then(|| channel.channel.clone()) })
    }

    fn environment<'a>(&'a self, message: &'a Message) -> &'a str {
        self.environment.as_deref().unwrap_or(&message.namespace)
    }

    /// Asks for the deployment of this commit in this environment.
    fn find(&self, message: &Message) -> Call {
        let commit = message.commit.as_deref().unwrap_or_default();
        let task = task(message);
        let query =
            [("ref", commit), ("environment", self.environment(message)), ("task", &task), ("per_page", "1")];
        self.repository.get(&["deployments"], &query)
    }

    fn create(&self, message: &Message) -> Call {
        let payload = Create {
            commit: message.commit.as_deref().unwrap_or_default(),
            environment: self.environment(message),
            task: task(message),
            description: shortened(&message.title(), LONGEST_DESCRIPTION),
            auto_merge: false,
            required_contexts: [],
        };
        self.repository.post(&["deployments"], &payload)
    }

    fn tell(&self, message: &Message, id: u64) -> Call {
        let state = match message.standing() {
            Standing::Underway => "in_progress",
            Standing::Waiting => "pending",
            Standing::Good => "success",
            Standing::Bad => "failure",
        };
        let description = shortened(&message.text, LONGEST_DESCRIPTION);
        self.repository.post(
            &["deployments", &id.to_string(), "statuses"],
            &DeploymentStatus { state, description, environment: self.environment(message) },
        )
    }
}

impl Notifier for Deployments {
    /// The one that says what is deployed. It is made only if GitHub does not know of it.
    fn request(&self, message: &Message) -> Call {
        self.create(message)
    }

    fn next(&self, message: &Message, heard: &[Heard]) -> Next<Result<(), Refused>> {
        if let Err(refused) = commit(message) {
            return Next::Done(Err(refused));
        }
        let Some(last) = heard.last() else { return Next::send(self.find(message)) };
        if let Err(refused) = heard_of(self, last) {
            return Next::Done(Err(refused));
        }
        // There is a deployment already, or it has just been made; the last answer is that to its status.
        match heard.iter().find_map(made) {
            Some(_) if told(heard) => Next::Done(Ok(())),
            Some(id) => Next::send(self.tell(message, id)),
            None if heard.len() == 1 => Next::send(self.create(message)),
            // 202 is a merge of its own that GitHub has made instead, which we did not ask for.
            None => Next::Done(Err(Refused {
                why: "sending notification gave an answer of GitHub without a deployment in it".to_owned(),
                passing: false,
            })),
        }
    }
}

/// Whether the status has been told: the answer after the one that names the deployment.
fn told(heard: &[Heard]) -> bool {
    heard.iter().position(|one| made(one).is_some()).is_some_and(|named| heard.len() > named + 1)
}

/// The deployment that an answer names: the only one of a list, or the one that was made.
fn made(heard: &Heard) -> Option<u64> {
    #[derive(Deserialize)]
    struct Deployment {
        id: u64,
    }
    let What::Answer(answer) = &heard.what else { return None };
    let listed = serde_json::from_slice::<Vec<Deployment>>(&answer.body).ok();
    let one = || serde_json::from_slice::<Deployment>(&answer.body).ok();
    listed.map_or_else(one, |list| list.into_iter().next()).map(|deployment| deployment.id)
}

/// Two Canaries of one repository have deployments of their own.
fn task(message: &Message) -> String {
    format!("deploy:{}", message.title())
}

#[derive(Serialize)]
struct Status {
    state: &'static str,
    context: String,
    description: String,
}

#[derive(Serialize)]
struct Create<'a> {
    #[serde(rename = "ref")]
    commit: &'a str,
    environment: &'a str,
    task: String,
    description: String,
    auto_merge: bool,
    /// The release has begun: no check of the commit can hold it up.
    required_contexts: [&'static str; 0],
}

#[derive(Serialize)]
struct DeploymentStatus<'a> {
    state: &'static str,
    description: String,
    environment: &'a str,
}

/// Characters that the API takes in a description.
const LONGEST_DESCRIPTION: usize = 140;

#[cfg(test)]
mod tests;
