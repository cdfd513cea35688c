//! The cluster on a loopback port, for kubectl: prints what to type, and goes on until Ctrl-C.
//!
//! ```console
//! cargo run -p kubesim --example kubectl
//! ```

use kubesim::KubeSim;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sim = KubeSim::builder().build();
    let listening = sim.listen(([127, 0, 0, 1], 0).into()).await?;
    let file = std::env::temp_dir().join(format!("kubesim-{}.yaml", std::process::id()));
    std::fs::write(&file, listening.kubeconfig())?;
    println!("export KUBECONFIG={}", file.display());
    println!("kubectl create deployment web --image=web:1 --replicas=3");
    println!("kubectl get pods -w");
    tokio::signal::ctrl_c().await?;
    std::fs::remove_file(&file)?;
    Ok(())
}
