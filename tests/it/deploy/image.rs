//! The controller's image: what `deploy/image/pack` makes of a program, and what the recipes for Docker start from. A text stands
//! for the program, so nothing is compiled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{output, read, root};

const PROGRAM: &str = "this stands for the program\n";

/// A target whose crates are all here, since the tests are compiled for it.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The folder of a test, which goes with it.
struct Packed(PathBuf);

impl Packed {
    /// Packs the program for both platforms.
    fn new(name: &str) -> Self {
        let it = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id())));
        let programs = it.0.join(target()).join("release");
        std::fs::create_dir_all(&programs).expect("a folder");
        std::fs::write(programs.join("vexil"), PROGRAM).expect("a program");
        it.pack();
        let unpacked = it.0.join("unpacked");
        std::fs::create_dir_all(&unpacked).expect("a folder");
        output(Command::new("tar").arg("-xf").arg(it.archive()).arg("-C").arg(&unpacked));
        it
    }

    fn pack(&self) {
        let mut command = Command::new(root().join("deploy/image/pack"));
        command.env("CARGO_TARGET_DIR", &self.0);
        output(command.args(["amd64", "arm64"].map(|platform| format!("{platform}={}", target()))));
    }

    fn archive(&self) -> PathBuf {
        self.0.join(format!("image/vexil-{}.oci.tar", env!("CARGO_PKG_VERSION")))
    }

    /// A blob that something in the archive names; its name and its size are what they have to be.
    fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().expect("a digest").replace(':', "/");
        let blob = std::fs::read(self.0.join("unpacked/blobs").join(&digest)).expect("a blob");
        assert_eq!(digest, format!("sha256/{:x}", Sha256::digest(&blob)));
        assert_eq!(descriptor["size"].as_u64(), Some(blob.len() as u64), "{digest}");
        blob
    }

    fn json(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&self.blob(descriptor)).expect("JSON")
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_archive_is_one_image_for_both_platforms_that_says_what_it_is() {
    let packed = Packed::new("image");
    let index: Value =
        serde_json::from_slice(&std::fs::read(packed.0.join("unpacked/index.json")).expect("an index"))
            .expect("JSON");
    let [all] = index["manifests"].as_array().expect("a list").as_slice() else { panic!("{index}") };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(all["annotations"]["org.opencontainers.image.ref.name"], version);
    // Under this name kind and k3s find it.
    assert_eq!(all["annotations"]["io.containerd.image.name"], format!("docker.io/library/vexil:{version}"));
    let all = packed.json(all);
    let mut platforms = Vec::new();
    for image in all["manifests"].as_array().expect("a list") {
        platforms.push(image["platform"]["architecture"].as_str().unwrap_or_default().to_owned());
        let manifest = packed.json(image);
        let config = packed.json(&manifest["config"]);
        assert_eq!(config["architecture"], image["platform"]["architecture"]);
        assert_eq!(
            (&config["config"]["User"], &config["config"]["Entrypoint"][0]),
            (&"10001:10001".into(), &"/vexil".into())
        );
        let labels = &config["config"]["Labels"];
        assert_eq!(labels, &manifest["annotations"]);
        for (label, expected) in [
            ("title", env!("CARGO_PKG_NAME")),
            ("version", version),
            ("description", env!("CARGO_PKG_DESCRIPTION")),
            ("licenses", env!("CARGO_PKG_LICENSE")),
            ("source", env!("CARGO_PKG_REPOSITORY")),
        ] {
            assert_eq!(labels[format!("org.opencontainers.image.{label}")], expected, "{label}");
        }
        let layer = packed.0.join("layer.tar.gz");
        std::fs::write(&layer, packed.blob(&manifest["layers"][0])).expect("written");
        let listed = output(Command::new("tar").arg("-tf").arg(&layer));
        let files: BTreeSet<&str> = listed.lines().collect();
        for file in
            ["./vexil", "./flagger", "./bin/wget", "./etc/ssl/certs/ca-certificates.crt", "./vexil.cdx.json"]
        {
            assert!(files.contains(file), "{file}: {listed}");
        }
        assert_eq!(output(Command::new("tar").arg("-xOf").arg(&layer).arg("./vexil")), PROGRAM);
    }
    assert_eq!(platforms, ["amd64", "arm64"]);

    let first = std::fs::read(packed.archive()).expect("the archive");
    packed.pack();
    assert!(
        first == std::fs::read(packed.archive()).expect("the archive"),
        "the same files, another archive"
    );
}

#[test]
fn the_list_of_crates_is_cyclonedx_and_names_what_is_in_the_program() {
    let list = output(Command::new(root().join("deploy/image/sbom")).arg(target()));
    let list: Value = serde_json::from_str(&list).unwrap_or_else(|why| panic!("{why}: {list}"));
    let schema = |name: &str| -> Value {
        let text = read(&format!("tests/data/cyclonedx/{name}.SNAPSHOT.schema.json"));
        serde_json::from_str(&text).expect("JSON")
    };
    let mut registry = jsonschema::Registry::new();
    for name in ["spdx", "jsf-0.82"] {
        let address = format!("http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json");
        registry = registry.add(address, schema(name)).expect("a schema");
    }
    let registry = registry.prepare().expect("schemas");
    let validator =
        jsonschema::options().with_registry(&registry).build(&schema("bom-1.5")).expect("a schema");
    let wrong: Vec<String> =
        validator.iter_errors(&list).map(|why| format!("{}: {why}", why.instance_path())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut broken = list.clone();
    broken["components"][0]["type"] = "crate".into();
    assert!(!validator.is_valid(&broken), "the schema is not looked at");

    let components = list["components"].as_array().expect("a list");
    let names: BTreeSet<&str> = components.iter().filter_map(|it| it["name"].as_str()).collect();
    for there in ["kube", "tokio", "rustls", "axum", "gotmpl"] {
        assert!(names.contains(there), "{there} is missing");
    }
    // The demo, what compiles, and what tests.
    for absent in ["kubesim", "ratatui", "serde_derive", "cc", "rstest", "wiremock"] {
        assert!(!names.contains(absent), "{absent} is not in the program");
    }
    let lock = read("Cargo.lock");
    let known: BTreeSet<&str> = components.iter().filter_map(|it| it["bom-ref"].as_str()).collect();
    for it in components {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, version) = (text(&it["name"]), text(&it["version"]));
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let locked = lock.split("[[package]]\n").find(|locked| locked.starts_with(&entry));
        let checksum = format!("checksum = \"{}\"\n", text(&it["hashes"][0]["content"]));
        assert!(locked.is_some_and(|locked| locked.contains(&checksum)), "{it}");
        assert!(it["licenses"][0]["expression"].is_string(), "{it}");
    }
    for edge in list["dependencies"].as_array().expect("a list") {
        for needed in edge["dependsOn"].as_array().expect("a list") {
            assert!(known.contains(needed.as_str().unwrap_or_default()), "{needed}");
        }
    }
}

#[test]
fn what_docker_starts_from_is_one_version() {
    for recipe in ["deploy/Dockerfile", "deploy/Dockerfile.loadtester"] {
        let text = read(recipe);
        let bases = text
            .lines()
            .filter_map(|line| line.strip_prefix("FROM "))
            .filter_map(|rest| rest.split(' ').next());
        let mut seen = 0;
        for base in bases {
            seen += 1;
            let (_, tag) = base.split_once(':').unwrap_or_else(|| panic!("{recipe}: {base} has no tag"));
            // Three numbers, or a day.
            let whole = |part: &str| {
                part.split('.').count() == 3 && part.split('.').all(|it| it.parse::<u32>().is_ok())
                    || part.len() == 8 && part.parse::<u32>().is_ok()
            };
            assert!(tag.split('-').any(whole), "{recipe}: {base} means something else tomorrow");
        }
        assert!(seen > 1, "{recipe}");
        let compiler = text.split("FROM rust:").nth(1).and_then(|rest| rest.split('-').next());
        let told = format!("RUSTUP_TOOLCHAIN={}\n", compiler.expect("a compiler"));
        assert!(text.contains(&told), "{recipe}: rust-toolchain.toml would fetch another compiler");
    }
}
