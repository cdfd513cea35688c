//! Keys and certificates of the control plane, made fresh for each cluster by openssl.

use std::path::Path;

use anyhow::Result;

use super::network::{API_SERVICE, NODE};
use crate::place::Place;
use crate::process;

/// Who gets a client certificate: file, user, group.
const CLIENTS: [(&str, &str, &str); 3] = [
    ("admin", "vexil-e2e-admin", "system:masters"),
    ("node", "vexil-e2e-node", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", "system:kube-controller-manager"),
];

/// Makes all of them in `pki/`.
pub fn make(place: &Place) -> Result<()> {
    let pki = place.pki();
    key(&pki, "ca")?;
    openssl(&pki, "req -x509 -new -key ca.key -subj /CN=vexil-e2e -days 30 -out ca.crt")?;
    key(&pki, "service-accounts")?;
    openssl(&pki, "pkey -in service-accounts.key -pubout -out service-accounts.pub")?;
    let names = format!(
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,\
         DNS:localhost,IP:127.0.0.1,IP:{NODE},IP:{API_SERVICE}"
    );
    certificate(
        &pki,
        "apiserver",
        "/CN=kube-apiserver",
        &format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n"),
    )?;
    for (file, user, group) in CLIENTS {
        certificate(&pki, file, &format!("/O={group}/CN={user}"), "extendedKeyUsage=clientAuth\n")?;
    }
    Ok(())
}

fn key(pki: &Path, name: &str) -> Result<()> {
    openssl(pki, &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"))
}

fn certificate(pki: &Path, name: &str, subject: &str, extensions: &str) -> Result<()> {
    key(pki, name)?;
    std::fs::write(pki.join(format!("{name}.ext")), extensions)?;
    openssl(pki, &format!("req -new -key {name}.key -subj {subject} -out {name}.csr"))?;
    openssl(
        pki,
        &format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile {name}.ext -out {name}.crt"
        ),
    )
}

fn openssl(pki: &Path, arguments: &str) -> Result<()> {
    let mut command = std::process::Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(pki);
    process::run_command(&mut command, None).map(drop)
}
