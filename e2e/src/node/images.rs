//! Image names and the programs that they stand for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::install;
use crate::place::Place;
use crate::tools::Tool;

/// Where an image's program lies in its container; also the working directory.
pub const HOME: &str = "/app";

/// What a container of an image runs, before the pod's own command and arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub entrypoint: Vec<String>,
    /// The arguments that the image names; a pod may name others.
    pub arguments: Vec<String>,
    /// The root file system of the image, if it has one.
    pub root: Option<PathBuf>,
    pub working_directory: String,
    /// Files of the machine and where the container has them.
    pub files: Vec<(PathBuf, String)>,
    pub environment: Vec<(String, String)>,
    /// A first argument that the program does not know and that is dropped.
    pub drops: Option<String>,
    /// The user that the image names; a pod may name another.
    pub user: Option<u32>,
}

/// The program of an image.
///
/// The last part of the repository decides: `…/frontend:1.2` and every other name under `shop/` is the demo application
/// in version 1.2. A tag that starts with `missing` is an image that the registry does not have, and one that was withdrawn
/// ([`file_of`]) is one that it does not have any more; what runs already goes on.
///
/// # Errors
/// No program stands for this image; the text is what the pod's status says.
pub fn find(place: &Place, image: &str) -> Result<Image> {
    let (repository, tag) = split(image);
    if tag.starts_with("missing") || place.withdrawn().join(file_of(image)).exists() {
        bail!("rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": not found");
    }
    let name = repository.rsplit('/').next().unwrap_or(repository);
    if repository.split('/').rev().nth(1) == Some("shop") {
        let own = std::env::current_exe().context("cannot find the harness's own program")?;
        return Ok(Image {
            entrypoint: vec![format!("{HOME}/demo"), "demo".into()],
            files: vec![(own, format!("{HOME}/demo"))],
            environment: vec![("VERSION".into(), tag.to_owned())],
            working_directory: HOME.to_owned(),
            ..Image::default()
        });
    }
    Ok(match name {
        "vexil" => controller(place)?,
        "vexil-loadtester" => {
            let mut image = controller(place)?;
            // Its commands are the machine's.
            if let Some(root) = image.root.take() {
                image.files.push((root.join("vexil"), format!("{HOME}/vexil")));
                image.entrypoint = vec![format!("{HOME}/vexil")];
                image.environment.clear();
                image.working_directory = HOME.to_owned();
            }
            for (tool, name) in [(Tool::Helm, "helm"), (Tool::Kubectl, "kubectl")] {
                image.files.push((tool.path(), format!("{HOME}/{name}")));
            }
            image.arguments.clear();
            image.entrypoint.push("loadtester".into());
            image
        }
        "pilot" => program(Tool::Istiod, "pilot-discovery"),
        "envoy" => program(Tool::Envoy, "envoy"),
        "prometheus" => program(Tool::Prometheus, "prometheus"),
        "contour" => program(Tool::Contour, "contour"),
        "traefik" => program(Tool::Traefik, "traefik"),
        // Envoy Gateway's image is called so.
        "gateway" => program(Tool::EnvoyGateway, "envoy-gateway"),
        _ => bail!(
            "no program stands for the image \"{image}\" (known: shop/*, vexil, pilot, envoy, prometheus, contour, traefik, gateway)"
        ),
    })
}

/// The file in [`Place::withdrawn`] that takes an image away.
pub fn file_of(image: &str) -> String {
    image.replace('/', "_")
}

fn program(tool: Tool, name: &str) -> Image {
    Image {
        entrypoint: vec![format!("{HOME}/{name}")],
        files: vec![(tool.path(), format!("{HOME}/{name}"))],
        working_directory: HOME.to_owned(),
        ..Image::default()
    }
}

/// The controller's program is written down by whoever installs it, so that a cluster that is up can change it.
fn controller(place: &Place) -> Result<Image> {
    let note = place.controller();
    let text = std::fs::read_to_string(&note).context("the controller has not been installed yet")?;
    let path = PathBuf::from(text.trim());
    if path.is_dir() {
        return unpacked(&path);
    }
    let name = path.file_name().map_or_else(|| "vexil".into(), |name| name.to_string_lossy().into_owned());
    let mut files = vec![(path.clone(), format!("{HOME}/{name}"))];
    if name != "vexil" {
        files.push((path, format!("{HOME}/vexil")));
    }
    Ok(Image {
        entrypoint: vec![format!("{HOME}/{name}")],
        files,
        working_directory: HOME.to_owned(),
        // Our chart names the subcommand; a peer has none.
        drops: (!install::is_ours(place)).then(|| "controller".into()),
        // As deploy/Dockerfile has it.
        user: Some(10001),
        ..Image::default()
    })
}

/// An image as `deploy/image/build` leaves it: its root file system, and its configuration as it is in the archive.
fn unpacked(folder: &Path) -> Result<Image> {
    let file = folder.join("config.json");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let image: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let config = &image["config"];
    let texts = |name: &str| -> Vec<String> {
        config[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect()
    };
    let variable =
        |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let user = config["User"].as_str().and_then(|text| text.split(':').next()?.parse().ok());
    Ok(Image {
        entrypoint: texts("Entrypoint"),
        arguments: texts("Cmd"),
        root: Some(folder.join("root")),
        working_directory: config["WorkingDir"].as_str().unwrap_or("/").to_owned(),
        environment: texts("Env").into_iter().filter_map(variable).collect(),
        user,
        ..Image::default()
    })
}

fn split(image: &str) -> (&str, &str) {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_image_is_the_demo_in_the_version_of_its_tag() {
        let image = find(&Place::at("/nowhere"), "registry.example:5000/shop/frontend:1.2").expect("known");
        assert_eq!(image.environment, [("VERSION".to_owned(), "1.2".to_owned())]);
    }

    #[test]
    fn an_image_that_the_registry_does_not_have_is_not_found() {
        let error = find(&Place::at("/nowhere"), "shop/frontend:missing-1").expect_err("missing");
        assert!(error.to_string().contains("not found"), "{error}");
    }

    #[test]
    fn an_image_that_is_withdrawn_cannot_be_pulled_any_more() {
        let place = Place::at(std::env::temp_dir().join(format!("vexil-e2e-images-{}", std::process::id())));
        let image = "registry.example:5000/shop/frontend:1.2";
        std::fs::create_dir_all(place.withdrawn()).expect("a folder");
        assert!(find(&place, image).is_ok());
        std::fs::write(place.withdrawn().join(file_of(image)), "").expect("a file");
        let error = find(&place, image).expect_err("withdrawn");
        std::fs::remove_dir_all(place.root()).expect("the folder goes");
        assert!(error.to_string().contains("not found"), "{error}");
    }

    #[test]
    fn an_unknown_image_is_named_in_the_error() {
        let error = find(&Place::at("/nowhere"), "docker.example/library/redis").expect_err("unknown");
        assert!(error.to_string().contains("library/redis"), "{error}");
    }
}
