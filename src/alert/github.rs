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
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::{bare, body, channel, heard, started, token};
    use crate::api::Phase;
    use crate::api::hooks::Severity;

    fn at(address: &str, environment: &str) -> Channel {
        Channel { token: "ghp-t0ken".into(), channel: environment.into(), ..channel(address) }
    }

    const SHOP: &str = "https://github.com/acme/shop";

    fn said(severity: Severity, phase: Phase) -> Message {
        let mut message = bare(severity, "hi");
        message.moment.as_mut().expect("a moment").phase = phase;
        message
    }

    #[rstest]
    #[case::github(SHOP, "https://api.github.com/repos/acme/shop/statuses/4f2c1d9")]
    #[case::of_a_clone(
        "https://github.com/acme/shop.git",
        "https://api.github.com/repos/acme/shop/statuses/4f2c1d9"
    )]
    #[case::enterprise(
        "https://git.acme.test/web/shop/",
        "https://git.acme.test/api/v3/repos/web/shop/statuses/4f2c1d9"
    )]
    fn the_status_is_that_of_the_commit(#[case] address: &str, #[case] url: &str) {
        let call = Statuses::new(&at(address, "general")).expect("valid").request(&started());
        assert_eq!((url, Some("ghp-t0ken")), (call.url(), token(&call)));
        assert_eq!(
            concat!(
                r#"{"state":"pending","context":"vexil/test/podinfo","#,
                r#""description":"New revision detected, progressing canary analysis."}"#,
            ),
            body(&call)
        );
    }

    #[rstest]
    #[case::started(Severity::Info, Phase::Progressing, "pending", "in_progress")]
    #[case::gate(Severity::Warn, Phase::WaitingPromotion, "pending", "pending")]
    #[case::failed(Severity::Error, Phase::Failed, "failure", "failure")]
    #[case::by_hand(Severity::Warn, Phase::Failed, "failure", "failure")]
    #[case::initialized(Severity::Info, Phase::Initialized, "success", "success")]
    #[case::promoted(Severity::Info, Phase::Succeeded, "success", "success")]
    fn the_state_is_that_of_the_release(
        #[case] severity: Severity,
        #[case] phase: Phase,
        #[case] status: &str,
        #[case] deployment: &str,
    ) {
        let message = said(severity, phase);
        let call = Statuses::new(&at(SHOP, "general")).expect("valid").request(&message);
        assert!(body(&call).starts_with(&format!(r#"{{"state":"{status}","#)), "{}", body(&call));
        let call = Deployments::new(&at(SHOP, "production")).expect("valid").tell(&message, 7);
        assert_eq!("https://api.github.com/repos/acme/shop/deployments/7/statuses", call.url());
        let expected = format!(r#"{{"state":"{deployment}","description":"hi","environment":"production"}}"#);
        assert_eq!(expected, body(&call));
    }

    #[rstest]
    #[case::first(r"[]", 3)]
    #[case::known(r#"[{"id":7,"sha":"4f2c1d9"}]"#, 2)]
    fn a_deployment_is_made_once_and_then_told_how_it_stands(#[case] listed: &str, #[case] calls: usize) {
        let service = Deployments::new(&at(SHOP, "production")).expect("valid");
        let (mut past, mut made) = (Vec::new(), Vec::new());
        while let Next::Send(call) = service.next(&started(), &past) {
            past.push(match (call.method, call.url().ends_with("/statuses")) {
                (Method::Get, _) => heard(200, listed),
                (_, false) => heard(201, r#"{"id":7}"#),
                (_, true) => heard(201, r#"{"id":99,"state":"in_progress"}"#),
            });
            made.push(*call);
        }
        assert_eq!(Next::Done(Ok(())), service.next(&started(), &past));
        assert_eq!(calls, made.len());
        assert_eq!("https://api.github.com/repos/acme/shop/deployments", made[0].url());
        assert!(made[0].query.contains(&("ref".to_owned(), "4f2c1d9".to_owned())));
        assert!(made[0].query.contains(&("environment".to_owned(), "production".to_owned())));
        assert!(made[calls - 1].url().ends_with("/deployments/7/statuses"));
        if calls == 3 {
            assert_eq!(
                concat!(
                    r#"{"ref":"4f2c1d9","environment":"production","task":"deploy:podinfo.test","#,
                    r#""description":"podinfo.test","auto_merge":false,"required_contexts":[]}"#,
                ),
                body(&made[1])
            );
        }
    }

    #[test]
    fn the_environment_is_the_namespace_unless_said_otherwise() {
        let service = Deployments::new(&at(SHOP, "general")).expect("valid");
        assert_eq!("test", service.environment(&started()));
    }

    #[test]
    fn a_refusal_and_an_answer_without_a_deployment_end_it() {
        let service = Deployments::new(&at(SHOP, "production")).expect("valid");
        let end = |past: &[Heard]| match service.next(&started(), past) {
            Next::Done(Err(refused)) => refused.why,
            other => panic!("{other:?}"),
        };
        assert!(end(&[heard(404, r#"{"message":"Not Found"}"#)]).contains("404: Not Found"));
        assert!(
            end(&[heard(200, "[]"), heard(202, r#"{"message":"Auto-merged"}"#)])
                .contains("without a deployment")
        );
    }

    #[test]
    fn without_the_annotation_nothing_is_sent_and_the_reason_names_it() {
        let message = Message { commit: None, ..started() };
        let services: [Box<dyn Notifier>; 2] = [
            Box::new(Statuses::new(&at(SHOP, "general")).expect("valid")),
            Box::new(Deployments::new(&at(SHOP, "general")).expect("valid")),
        ];
        for service in services {
            let why =
                "the Canary has no annotation flagger.app/commit, which says what commit is released".into();
            assert_eq!(Next::Done(Err(Refused { why, passing: false })), service.next(&message, &[]));
        }
    }

    #[rstest]
    #[case("https://github.com/acme")]
    #[case("https://github.com/acme/shop/tree/main")]
    fn an_address_of_no_repository_is_refused(#[case] address: &str) {
        let error = Statuses::new(&at(address, "general")).err().expect("refused").to_string();
        assert_eq!(
            "provider github: the address is that of no repository: write https://github.com/<owner>/<name>",
            error
        );
    }
}
