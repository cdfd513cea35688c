//! A pod's volumes as folders on disk.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, ServiceAccount,
    ServiceAccountTokenProjection, Volume,
};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::environment;

/// Each volume's folder by its name.
pub type Folders = BTreeMap<String, PathBuf>;

const DEFAULT_MODE: i32 = 0o644;

/// Makes all volumes of a pod below a folder; gives each one's path by its name.
///
/// # Errors
/// Something that is referred to does not exist (yet), or the volume is of a kind that this node lacks.
pub async fn make(client: &Client, pod: &Pod, folder: &Path, address: std::net::Ipv4Addr) -> Result<Folders> {
    let mut out = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let path = folder.join(&volume.name);
        std::fs::create_dir_all(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        let path = fill(client, pod, volume, path, address)
            .await
            .with_context(|| format!("MountVolume.SetUp failed for volume \"{}\"", volume.name))?;
        out.insert(volume.name.clone(), path);
    }
    Ok(out)
}

async fn fill(
    client: &Client,
    pod: &Pod,
    volume: &Volume,
    path: PathBuf,
    address: std::net::Ipv4Addr,
) -> Result<PathBuf> {
    let namespace = pod.namespace().unwrap_or_default();
    if let Some(source) = &volume.config_map {
        let data = environment::config_map(client, &namespace, &source.name, source.optional).await?;
        write_items(&path, &data, source.items.as_deref(), source.default_mode.unwrap_or(DEFAULT_MODE))?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.clone().unwrap_or_default();
        let data = environment::secret(client, &namespace, &name, source.optional).await?;
        write_items(&path, &data, source.items.as_deref(), source.default_mode.unwrap_or(DEFAULT_MODE))?;
    } else if let Some(source) = &volume.projected {
        project(client, pod, source, &path, address).await?;
    } else if let Some(source) = &volume.downward_api {
        downward(pod, &path, source.items.as_deref().unwrap_or_default(), address)?;
    } else if let Some(source) = &volume.host_path {
        return Ok(PathBuf::from(&source.path));
    } else if volume.empty_dir.is_none() {
        bail!("this node has no such kind of volume");
    }
    Ok(path)
}

async fn project(
    client: &Client,
    pod: &Pod,
    source: &ProjectedVolumeSource,
    path: &Path,
    address: std::net::Ipv4Addr,
) -> Result<()> {
    let namespace = pod.namespace().unwrap_or_default();
    let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
    for source in source.sources.iter().flatten() {
        if let Some(token) = &source.service_account_token {
            write(&path.join(&token.path), request_token(client, pod, token).await?.as_bytes(), mode)?;
        }
        if let Some(map) = &source.config_map {
            let data = environment::config_map(client, &namespace, &map.name, map.optional).await?;
            write_items(path, &data, map.items.as_deref(), mode)?;
        }
        if let Some(secret) = &source.secret {
            let data = environment::secret(client, &namespace, &secret.name, secret.optional).await?;
            write_items(path, &data, secret.items.as_deref(), mode)?;
        }
        if let Some(fields) = &source.downward_api {
            downward(pod, path, fields.items.as_deref().unwrap_or_default(), address)?;
        }
    }
    Ok(())
}

/// A token for the pod's service account, bound to the pod as a kubelet's is.
async fn request_token(client: &Client, pod: &Pod, wanted: &ServiceAccountTokenProjection) -> Result<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let account =
        pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(wanted.audience.clone().into_iter().collect()),
            expiration_seconds: wanted.expiration_seconds,
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    answer.status.and_then(|status| status.token).context("the token request has no answer")
}

fn downward(
    pod: &Pod,
    path: &Path,
    items: &[DownwardAPIVolumeFile],
    address: std::net::Ipv4Addr,
) -> Result<()> {
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            environment::field(pod, &field.field_path, Some(address))?
        } else if let Some(resource) = &item.resource_field_ref {
            let name = resource.container_name.clone().unwrap_or_default();
            let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
            let container =
                containers.iter().find(|container| container.name == name).context("no such container")?;
            let divisor = resource.divisor.as_ref().map(|q| q.0.clone()).unwrap_or_default();
            environment::resource(container, &resource.resource, &divisor)?
        } else {
            continue;
        };
        write(&path.join(&item.path), text.as_bytes(), item.mode.unwrap_or(DEFAULT_MODE))?;
    }
    Ok(())
}

fn write_items(
    path: &Path,
    data: &BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: i32,
) -> Result<()> {
    match items {
        None => data.iter().try_for_each(|(key, value)| write(&path.join(key), value, mode)),
        Some(items) => items.iter().try_for_each(|item| match data.get(&item.key) {
            Some(value) => write(&path.join(&item.path), value, item.mode.unwrap_or(mode)),
            None => bail!("references non-existent config key: {}", item.key),
        }),
    }
}

fn write(path: &Path, content: &[u8], mode: i32) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content)?;
    // Whoever the container runs as can read it, as with a kubelet that sets fsGroup.
    let mode = u32::try_from(mode).unwrap_or(0o644) | 0o444;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}
