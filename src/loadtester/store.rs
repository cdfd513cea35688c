//! Where open gates are kept: in a ConfigMap, which several replicas share and which outlives a node; in a file; or, for a
//! try, in memory.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::timeout;

use super::book::Book;

/// Where the gates are.
pub enum Store {
    /// Nowhere: they are lost with the process.
    Memory(Mutex<Book>),
    /// In a file.
    File(PathBuf),
    /// In a ConfigMap of this name.
    ConfigMap(Box<Api<ConfigMap>>, String),
}

/// Why the gates cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gates in {place}: {why}")]
pub struct Trouble {
    place: String,
    why: String,
}

impl Store {
    /// Reads the gates; none are open if nothing was ever written.
    ///
    /// # Errors
    /// If they cannot be read, or are not what was written.
    pub async fn load(&self) -> Result<Book, Trouble> {
        match self {
            Self::Memory(book) => Ok(book.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            Self::File(path) => {
                let path = path.clone();
                self.apart(move || read(&path)).await
            }
            Self::ConfigMap(api, name) => {
                let found = self.soon(api.get_opt(name)).await?;
                self.parse(found.as_ref())
            }
        }
    }

    /// Changes what is kept; whether `change` wanted it written. It may be called more than once.
    ///
    /// # Errors
    /// If the gates cannot be read or written.
    pub async fn change(&self, change: impl Fn(&mut Book) -> bool) -> Result<bool, Trouble> {
        match self {
            Self::Memory(book) => Ok(change(&mut book.lock().unwrap_or_else(PoisonError::into_inner))),
            Self::File(path) => {
                let mut book = self.load().await?;
                if !change(&mut book) {
                    return Ok(false);
                }
                let path = path.clone();
                self.apart(move || write(&path, &book)).await.map(|()| true)
            }
            Self::ConfigMap(api, name) => {
                for _ in 0..ATTEMPTS {
                    let found = self.soon(api.get_opt(name)).await?;
                    let mut book = self.parse(found.as_ref())?;
                    if !change(&mut book) {
                        return Ok(false);
                    }
                    let text = serde_json::to_string(&book).map_err(|error| self.trouble(error))?;
                    let write = async {
                        match found.clone() {
                            Some(mut map) => {
                                map.data.get_or_insert_default().insert(KEY.to_owned(), text);
                                api.replace(name, &PostParams::default(), &map).await
                            }
                            None => {
                                let metadata =
                                    ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                                let data = Some([(KEY.to_owned(), text)].into());
                                let map = ConfigMap { metadata, data, ..ConfigMap::default() };
                                api.create(&PostParams::default(), &map).await
                            }
                        }
                    };
                    match timeout(PATIENCE, write).await {
                        Ok(Ok(_)) => return Ok(true),
                        // Another replica was faster.
                        Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
                        Ok(Err(error)) => return Err(self.trouble(error)),
                        Err(_) => return Err(self.trouble("the API server is silent")),
                    }
                }
                Err(self.trouble("others change them all the time"))
            }
        }
    }

    /// For messages.
    fn place(&self) -> String {
        match self {
            Self::Memory(_) => "memory".to_owned(),
            Self::File(path) => format!("file {}", path.display()),
            Self::ConfigMap(_, name) => format!("ConfigMap {name}"),
        }
    }

    fn trouble(&self, why: impl ToString) -> Trouble {
        Trouble { place: self.place(), why: why.to_string() }
    }

    /// Files are waited for on a thread of their own.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, Trouble> {
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string());
        done.and_then(|done| done).map_err(|why| self.trouble(why))
    }

    async fn soon<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
        match timeout(PATIENCE, call).await {
            Ok(answer) => answer.map_err(|error| self.trouble(error)),
            Err(_) => Err(self.trouble("the API server is silent")),
        }
    }

    fn parse(&self, map: Option<&ConfigMap>) -> Result<Book, Trouble> {
        let text = map.and_then(|map| map.data.as_ref()).and_then(|data| data.get(KEY));
        text.map_or_else(
            || Ok(Book::default()),
            |text| serde_json::from_str(text).map_err(|error| self.trouble(error)),
        )
    }
}

fn read(path: &Path) -> Result<Book, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            format!("it is not what was written there ({error}). Put it right, or delete it: then all gates are closed")
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Book::default()),
        Err(error) => Err(error.to_string()),
    }
}

/// Written beside and moved over it, so that whoever reads it finds the old state or the new one.
fn write(path: &Path, book: &Book) -> Result<(), String> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec(book).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| error.to_string())
}

/// The key in the ConfigMap.
const KEY: &str = "gates.json";
const ATTEMPTS: usize = 10;
/// How long one call of the API may take.
const PATIENCE: Duration = Duration::from_secs(5);
