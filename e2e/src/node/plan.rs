//! From a pod's manifest to what a container's process needs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;

use super::container::{Mount, Plan};
use super::images::Image;
use super::{environment, volumes};
use crate::cluster::network;

/// What a plan is made of.
pub(super) struct Given<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub image: &'a Image,
    pub environment: &'a BTreeMap<String, String>,
    pub volumes: &'a volumes::Folders,
    pub address: Ipv4Addr,
    /// The pod's folder on the machine.
    pub folder: &'a Path,
}

impl Given<'_> {
    /// # Errors
    /// The container mounts a volume that the pod does not have.
    pub fn plan(&self) -> Result<Plan> {
        let spec = self.container;
        let pod_security =
            self.pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
        let security = spec.security_context.clone().unwrap_or_default();
        let id = |own: Option<i64>, shared: Option<i64>| own.or(shared).and_then(|id| u32::try_from(id).ok());
        let namespace = self.pod.namespace().unwrap_or_default();
        let name = self.pod.name_any();
        Ok(Plan {
            root: self.folder.join(format!("{}.root", spec.name)),
            image: self.image.root.clone(),
            command: self.command(),
            environment: self.environment.clone(),
            working_directory: spec
                .working_dir
                .clone()
                .unwrap_or_else(|| self.image.working_directory.clone()),
            user: id(security.run_as_user, pod_security.run_as_user).or(self.image.user),
            group: id(security.run_as_group, pod_security.run_as_group),
            read_only_root: security.read_only_root_filesystem.unwrap_or(false),
            texts: BTreeMap::from([
                ("/etc/resolv.conf".to_owned(), network::resolv_conf(&namespace)),
                ("/etc/hosts".to_owned(), format!("127.0.0.1 localhost\n{} {name}\n", self.address)),
                ("/etc/hostname".to_owned(), format!("{name}\n")),
            ]),
            mounts: self.mounts()?,
        })
    }

    /// A manifest's command replaces the image's, its arguments follow either.
    fn command(&self) -> Vec<String> {
        let expand = |texts: &Option<Vec<String>>| -> Option<Vec<String>> {
            let texts = texts.as_ref().filter(|texts| !texts.is_empty())?;
            Some(texts.iter().map(|text| environment::expand(text, self.environment)).collect())
        };
        let (command, arguments) = (expand(&self.container.command), expand(&self.container.args));
        let arguments = arguments.unwrap_or_else(|| match command {
            Some(_) => Vec::new(),
            None => self.image.arguments.clone(),
        });
        let mut command = command.unwrap_or_else(|| self.image.entrypoint.clone());
        command.extend(arguments);
        if self.image.drops.is_some() && command.get(1) == self.image.drops.as_ref() {
            command.remove(1);
        }
        command
    }

    fn mounts(&self) -> Result<Vec<Mount>> {
        let files = self.image.files.iter();
        let mut mounts: Vec<Mount> =
            files.map(|(from, to)| Mount { from: from.clone(), to: to.clone(), read_only: true }).collect();
        for mount in self.container.volume_mounts.iter().flatten() {
            let volume: &PathBuf = self
                .volumes
                .get(&mount.name)
                .with_context(|| format!("there is no volume {}", mount.name))?;
            let expression =
                || mount.sub_path_expr.as_ref().map(|text| environment::expand(text, self.environment));
            let from = match mount.sub_path.clone().or_else(expression) {
                Some(sub) => volume.join(sub),
                None => volume.clone(),
            };
            if !from.exists() {
                std::fs::create_dir_all(&from)?;
            }
            let read_only = mount.read_only.unwrap_or(false);
            mounts.push(Mount { from, to: mount.mount_path.clone(), read_only });
        }
        Ok(mounts)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(container: serde_json::Value, drops: Option<&str>) -> Vec<String> {
        let container: Container = serde_json::from_value(container).expect("a container");
        let image = Image {
            entrypoint: vec!["/app/peer".into()],
            arguments: vec!["serve".into()],
            drops: drops.map(str::to_owned),
            ..Image::default()
        };
        let given = Given {
            pod: &Pod::default(),
            container: &container,
            image: &image,
            environment: &BTreeMap::from([("PORT".to_owned(), "8080".to_owned())]),
            volumes: &BTreeMap::new(),
            address: Ipv4Addr::LOCALHOST,
            folder: Path::new("/nowhere"),
        };
        given.plan().expect("a plan").command
    }

    #[test]
    fn arguments_follow_the_images_command_with_variables_expanded() {
        assert_eq!(
            command(json!({"name": "a", "args": ["-port=$(PORT)"]}), None),
            ["/app/peer", "-port=8080"]
        );
    }

    #[test]
    fn a_command_of_the_manifest_replaces_the_images() {
        assert_eq!(command(json!({"name": "a", "command": ["sh"], "args": ["-c"]}), None), ["sh", "-c"]);
    }

    #[test]
    fn the_images_own_arguments_count_only_without_any_of_the_manifest() {
        assert_eq!(command(json!({"name": "a"}), None), ["/app/peer", "serve"]);
        assert_eq!(command(json!({"name": "a", "command": ["sh"]}), None), ["sh"]);
    }

    #[test]
    fn a_peer_is_not_given_the_subcommand() {
        let container = json!({"name": "a", "args": ["controller", "-log-level=info"]});
        assert_eq!(command(container, Some("controller")), ["/app/peer", "-log-level=info"]);
    }
}
