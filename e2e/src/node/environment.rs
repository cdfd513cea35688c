//! The environment and the command line of a container.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};
use kube::{Api, Client, ResourceExt};

use super::quantity;
use crate::cluster::network;

/// All variables of a container, references resolved.
///
/// # Errors
/// Something that is referred to does not exist (yet).
pub async fn variables(
    client: &Client,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    image: &[(String, String)],
) -> Result<BTreeMap<String, String>> {
    let mut out: BTreeMap<String, String> = [
        (
            "PATH",
            format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", super::images::HOME),
        ),
        ("HOME", "/root".to_owned()),
        ("HOSTNAME", pod.name_any()),
        ("KUBERNETES_SERVICE_HOST", network::API_SERVICE.to_string()),
        ("KUBERNETES_SERVICE_PORT", "443".to_owned()),
        ("KUBERNETES_SERVICE_PORT_HTTPS", "443".to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    out.extend(image.iter().cloned());
    let namespace = pod.namespace().unwrap_or_default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.clone().unwrap_or_default();
        let values = if let Some(reference) = &source.config_map_ref {
            config_map(client, &namespace, &reference.name, reference.optional).await?
        } else if let Some(reference) = &source.secret_ref {
            secret(client, &namespace, &reference.name, reference.optional).await?
        } else {
            continue;
        };
        for (key, value) in values {
            out.insert(format!("{prefix}{key}"), String::from_utf8_lossy(&value).into_owned());
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &out)),
            (None, Some(source)) => resolve(client, pod, container, address, source)
                .await
                .with_context(|| format!("environment variable {}", variable.name))?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            out.insert(variable.name.clone(), value);
        }
    }
    Ok(out)
}

async fn resolve(
    client: &Client,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    source: &EnvVarSource,
) -> Result<Option<String>> {
    let namespace = pod.namespace().unwrap_or_default();
    if let Some(reference) = &source.field_ref {
        return Ok(Some(field(pod, &reference.field_path, Some(address))?));
    }
    if let Some(reference) = &source.resource_field_ref {
        let divisor = reference.divisor.as_ref().map(|q| q.0.clone()).unwrap_or_default();
        return Ok(Some(resource(container, &reference.resource, &divisor)?));
    }
    let (values, key, optional) = if let Some(reference) = &source.config_map_key_ref {
        (
            config_map(client, &namespace, &reference.name, reference.optional).await?,
            &reference.key,
            reference.optional,
        )
    } else if let Some(reference) = &source.secret_key_ref {
        (
            secret(client, &namespace, &reference.name, reference.optional).await?,
            &reference.key,
            reference.optional,
        )
    } else {
        bail!("a source that this node does not know");
    };
    match values.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => bail!("there is no key {key}"),
    }
}

/// A field of the pod, as the downward API names it.
pub fn field(pod: &Pod, path: &str, address: Option<Ipv4Addr>) -> Result<String> {
    let spec = pod.spec.as_ref();
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']").map(str::to_owned);
    if let Some(key) = keyed("metadata.labels['") {
        return Ok(pod.labels().get(&key).cloned().unwrap_or_default());
    }
    if let Some(key) = keyed("metadata.annotations['") {
        return Ok(pod.annotations().get(&key).cloned().unwrap_or_default());
    }
    let map = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
    };
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "metadata.labels" => map(pod.labels()),
        "metadata.annotations" => map(pod.annotations()),
        "spec.nodeName" => super::NAME.to_owned(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.podIP" | "status.podIPs" => address.map(|ip| ip.to_string()).unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => network::NODE.to_string(),
        _ => bail!("field {path} is not known"),
    })
}

/// A resource of the container; what has no limit has the node's.
pub fn resource(container: &Container, name: &str, divisor: &str) -> Result<String> {
    let resources = container.resources.clone().unwrap_or_default();
    let (limits, key) = match name.split_once('.') {
        Some(("limits", key)) => (resources.limits, key),
        Some(("requests", key)) => (resources.requests, key),
        _ => bail!("resource {name} is not known"),
    };
    let whole = match key {
        "cpu" => "2",
        "memory" => "4Gi",
        _ => "1Gi",
    };
    let quantity =
        limits.unwrap_or_default().get(key).map_or_else(|| whole.to_owned(), |quantity| quantity.0.clone());
    quantity::in_units(&quantity, divisor)
        .map(|n| n.to_string())
        .with_context(|| format!("{quantity} is no quantity"))
}

/// The data of a ConfigMap, text and binary.
pub async fn config_map(
    client: &Client,
    namespace: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match api.get_opt(name).await? {
        Some(map) => Ok(map
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.into_bytes()))
            .chain(map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)))
            .collect()),
        None if optional == Some(true) => Ok(BTreeMap::new()),
        None => bail!("configmap \"{name}\" not found"),
    }
}

/// The data of a Secret.
pub async fn secret(
    client: &Client,
    namespace: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match api.get_opt(name).await? {
        Some(secret) => {
            Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
        }
        None if optional == Some(true) => Ok(BTreeMap::new()),
        None => bail!("secret \"{name}\" not found"),
    }
}

/// `$(NAME)` by its value, `$$(NAME)` as it is, what is not known stays.
pub fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_are_expanded_and_others_stay() {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand("$(A)-$(B)-$$(A)-$5", &variables), "1-$(B)-$(A)-$5");
    }
}
