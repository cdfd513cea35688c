//! A stock kubectl against the embedded cluster on a loopback port.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use kubesim::{KubeSim, Listening, PodBehaviour, PodRules};

/// A cluster that listens, and the kubectl that talks to it.
pub struct Bench {
    pub sim: KubeSim,
    listening: Listening,
    home: PathBuf,
}

impl Bench {
    pub async fn start(name: &str) -> Self {
        let rules = PodRules::default().otherwise(
            PodBehaviour::ready_after(Duration::from_millis(100)).stops_in(Duration::from_millis(50)),
        );
        let sim = KubeSim::builder().pod_rules(rules).build();
        let listening = sim.listen(([127, 0, 0, 1], 0).into()).await.expect("a free loopback port");
        let home =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kubectl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a directory for the kubeconfig");
        std::fs::write(home.join("config"), listening.kubeconfig()).expect("the kubeconfig is written");
        Self { sim, listening, home }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(kubectl());
        command.args(["--cache-dir", &self.home.join("cache").to_string_lossy(), "--request-timeout=30s"]);
        command.args(line.split(' ').filter(|word| !word.is_empty()));
        command
            .env("KUBECONFIG", self.home.join("config"))
            .env("HOME", &self.home)
            .env_remove("KUBERNETES_SERVICE_HOST");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn outcome(&self, line: &str, input: &str) -> Output {
        tokio::task::block_in_place(|| {
            let mut child = self.command(line).spawn().expect("kubectl starts");
            child
                .stdin
                .take()
                .expect("stdin is piped")
                .write_all(input.as_bytes())
                .expect("kubectl reads its input");
            child.wait_with_output().expect("kubectl ends")
        })
    }

    /// Runs kubectl, which must succeed; answers what it printed.
    pub fn run(&self, line: &str) -> String {
        self.run_with(line, "")
    }

    pub fn run_with(&self, line: &str, input: &str) -> String {
        let output = self.outcome(line, input);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {line}\n{out}{err}");
        out.into_owned()
    }

    /// Runs kubectl, which must fail; answers its complaint.
    pub fn refused(&self, line: &str, input: &str) -> String {
        let output = self.outcome(line, input);
        assert!(!output.status.success(), "kubectl {line} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.listening.stop();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Where kubectl is.
fn kubectl() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("these tests need kubectl on the PATH: install it (Debian: apt-get install kubernetes-client)")
    })
}

/// The cells of a line, without the spaces between them.
pub fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: web:1
        ports: [{containerPort: 8080, name: http}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
";

const WIDGETS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Colour, type: string, jsonPath: .spec.colour, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wished.
            properties:
              size: {type: integer, minimum: 1, default: 3, description: How large it is.}
              colour: {type: string}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_applied_rolled_out_and_looked_at() {
    let bench = Bench::start("rollout").await;
    assert_eq!("deployment.apps/web created\nservice/web created\n", bench.run_with("apply -f -", WEB));
    bench.run("rollout status deployment/web --timeout=30s");
    let table = bench.run("get deployments");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(vec!["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"], cells(lines[0]));
    assert_eq!(["web", "2/2", "2", "2"], cells(lines[1])[..4]);
    assert!(bench.run("get deploy web -o wide").contains("app=web"));
    assert!(bench.run("get deploy web -o yaml").contains("image: web:1"));

    assert_eq!("deployment.apps/web image updated\n", bench.run("set image deploy/web app=web:2"));
    assert!(bench.run("rollout status deploy/web --timeout=30s").contains("successfully rolled out"));
    let history = bench.run("rollout history deploy/web");
    assert_eq!(2, history.lines().filter(|line| line.ends_with("<none>")).count(), "{history}");
    let described = bench.run("describe deploy web");
    for part in [
        "2 desired | 2 updated | 2 total | 2 available",
        "web:2",
        "NewReplicaSetAvailable",
        "25% max unavailable",
    ] {
        assert!(described.contains(part), "{part}:\n{described}");
    }
    bench.run_with("apply -f - --dry-run=server", &WEB.replace("web:1", "web:3"));
    assert_eq!(
        "web:2",
        bench.run("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}"),
        "a dry run changes nothing"
    );

    bench.run("scale deploy/web --replicas=3");
    bench.run("wait --for=jsonpath={.status.availableReplicas}=3 deploy/web --timeout=30s");
    bench.run("rollout undo deploy/web");
    bench.run("rollout status deploy/web --timeout=30s");
    assert_eq!("web:1", bench.run("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}"));
    let pods = bench.run("get pods -l app=web --field-selector=status.phase=Running -o name");
    assert!(pods.lines().count() >= 3, "{pods}");
    assert!(bench.run("describe service web").contains(":8080"));

    bench.run("delete deploy web --timeout=30s");
    bench.run("wait --for=delete pod -l app=web --timeout=30s");
    assert!(bench.sim.list("rs", None).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_have_owners_and_patches_of_all_kinds_work() {
    let bench = Bench::start("apply").await;
    bench.run_with("apply --server-side --field-manager=alice -f -", WEB);
    let other = WEB.replace("replicas: 2", "replicas: 5");
    let refused = bench.refused("apply --server-side --field-manager=bob -f -", &other);
    assert!(refused.contains("conflict with \"alice\": .spec.replicas"), "{refused}");
    bench.run_with("apply --server-side --field-manager=bob --force-conflicts -f -", &other);
    for (line, replicas) in [
        (r#"patch deploy web -p {"spec":{"replicas":1}}"#, "1"),
        (r#"patch deploy web --type=merge -p {"spec":{"replicas":2}}"#, "2"),
        (r#"patch deploy web --type=json -p [{"op":"replace","path":"/spec/replicas","value":3}]"#, "3"),
    ] {
        bench.run(line);
        assert_eq!(replicas, bench.run("get deploy web -o jsonpath={.spec.replicas}"));
    }
    let owners =
        bench.run("get deploy web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}");
    assert!(owners.contains("alice") && owners.contains("kubectl-patch"), "{owners}");
    let wrong = bench.refused("apply -f -", &WEB.replace("replicas: 2", "replicsa: 2"));
    assert!(wrong.contains("unknown field \"spec.replicsa\""), "{wrong}");
    let ill_typed =
        bench.refused("apply --validate=false -f -", &WEB.replace("replicas: 2", "replicas: two"));
    assert!(ill_typed.contains("cannot be handled as a Deployment"), "{ill_typed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_kind_is_served_explained_and_checked() {
    let bench = Bench::start("custom").await;
    bench.run_with("apply -f -", WIDGETS);
    bench.run("wait --for=condition=Established crd/widgets.example.com --timeout=10s");
    assert!(bench.run("api-resources --api-group=example.com").contains("wd"));
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {colour: red}\n";
    bench.run_with("apply -f -", widget);
    let table = bench.run("get wd");
    assert_eq!(vec!["NAME", "SIZE"], cells(table.lines().next().unwrap_or_default()));
    assert_eq!(["w", "3"], cells(table.lines().nth(1).unwrap_or_default())[..2]);
    assert!(bench.run("get wd -o wide").contains("red"));
    assert!(bench.run("explain widget.spec.size").contains("How large it is."));
    let wrong = bench.refused("apply -f -", &widget.replace("colour: red", "size: 0"));
    assert!(
        wrong.contains("spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        "{wrong}"
    );
    let unknown = bench.refused("apply -f -", &widget.replace("colour", "color"));
    assert!(unknown.contains("unknown field \"spec.color\""), "{unknown}");
    bench.run("delete crd widgets.example.com --timeout=10s");
    // What kubectl says depends on whether it still remembers the resource.
    let gone = bench.refused("get widgets", "");
    assert!(
        gone.contains("could not find the requested resource")
            || gone.contains("doesn't have a resource type"),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_changes_as_they_come() {
    let bench = Bench::start("watch").await;
    bench.run_with("apply -f -", WEB);
    bench.run("rollout status deploy/web --timeout=30s");
    let mut child = bench.command("get deploy -w --no-headers").spawn().expect("kubectl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut next = || {
        tokio::task::block_in_place(|| lines.next().expect("the watch is open").expect("kubectl prints text"))
    };
    assert_eq!(["web", "2/2"], cells(&next())[..2]);
    bench
        .sim
        .patch("tester", "deploy", "default", "web", serde_json::json!({"spec": {"replicas": 3}}))
        .expect("scaled");
    let mut last = next();
    // `-w` has no end of its own; the test's end is the third ready pod.
    while cells(&last)[1] != "3/3" {
        last = next();
    }
    child.kill().expect("kubectl was running");
    child.wait().expect("kubectl ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_for_the_object_they_are_about() {
    let bench = Bench::start("events").await;
    bench.run_with("apply -f -", WEB);
    let now = bench.sim.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let uid = bench.sim.get("deploy", "default", "web").expect("it is there")["metadata"]["uid"].clone();
    bench.sim.put(serde_json::json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "default"},
        "type": "Normal", "reason": "Synced", "message": "hello from the controller", "count": 1,
        "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "tester"},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "web", "uid": uid},
    }));
    for line in ["events", "get events", "describe deploy web", "events --for deployment/web"] {
        assert!(bench.run(line).contains("hello from the controller"), "kubectl {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_creates_by_itself_arrives_whole() {
    let bench = Bench::start("create").await;
    for (line, printed) in [
        ("create namespace shop", "namespace/shop created\n"),
        ("create deployment web --image=web:1 --replicas=2 --port=8080", "deployment.apps/web created\n"),
        ("create configmap settings --from-literal=colour=blue", "configmap/settings created\n"),
        ("create secret generic door --from-literal=key=opensesame", "secret/door created\n"),
        ("create serviceaccount robot", "serviceaccount/robot created\n"),
        ("create service clusterip web --tcp=80:8080", "service/web created\n"),
        ("create ingress web --rule=a.example/x*=web:80", "ingress.networking.k8s.io/web created\n"),
        ("create role r --verb=get,list --resource=pods", "role.rbac.authorization.k8s.io/r created\n"),
        (
            "create rolebinding b --role=r --serviceaccount=default:robot",
            "rolebinding.rbac.authorization.k8s.io/b created\n",
        ),
        (
            "create pdb calm --selector=app=web --min-available=50%",
            "poddisruptionbudget.policy/calm created\n",
        ),
        ("create job once --image=task:1", "job.batch/once created\n"),
        ("create cronjob nightly --image=task:1 --schedule=@daily", "cronjob.batch/nightly created\n"),
        ("run lone --image=web:1", "pod/lone created\n"),
    ] {
        assert_eq!(printed, bench.run(line), "kubectl {line}");
    }
    for (line, expected) in [
        ("get ns shop -o jsonpath={.status.phase}", "Active"),
        (
            "get deploy web -o jsonpath={.spec.replicas}:{.spec.template.spec.containers[0].ports[0].containerPort}",
            "2:8080",
        ),
        ("get cm settings -o jsonpath={.data.colour}", "blue"),
        ("get secret door -o jsonpath={.data.key}:{.type}", "b3BlbnNlc2FtZQ==:Opaque"),
        ("get service web -o jsonpath={.spec.ports[0].port}:{.spec.ports[0].targetPort}", "80:8080"),
        ("get pdb calm -o jsonpath={.spec.minAvailable}", "50%"),
        ("get rolebinding b -o jsonpath={.subjects[0].name}", "robot"),
        ("get cronjob nightly -o jsonpath={.spec.schedule}", "@daily"),
    ] {
        assert_eq!(expected, bench.run(line), "kubectl {line}");
    }
    bench.run("rollout status deployment/web --timeout=30s");
    assert!(bench.refused("create namespace shop", "").contains("namespaces \"shop\" already exists"));
    assert!(bench.refused("create namespace Shop", "").contains("metadata.name: Invalid value: \"Shop\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_everything_and_is_told_so() {
    let bench = Bench::start("can-i").await;
    assert_eq!("yes\n", bench.run("auth can-i create pods"));
    assert_eq!("yes\n", bench.run("auth can-i delete deployments.apps --as=somebody -n kube-system"));
    assert_eq!("yes\n", bench.run("auth can-i get /metrics"));
    assert!(bench.run("auth can-i --list").contains("[*]"));
    assert!(bench.run("auth whoami").contains("system:masters"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_are_answered_and_admission_policies_are_kept() {
    let bench = Bench::start("reviews").await;
    for (review, at, expected) in [
        (
            "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {token: abc}",
            "{.status.authenticated}",
            "true",
        ),
        (
            "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {}",
            "{.status.authenticated}",
            "false",
        ),
        (
            "apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nspec: {user: a, resourceAttributes: {verb: get, resource: pods}}",
            "{.status.allowed}",
            "true",
        ),
        (
            "apiVersion: authorization.k8s.io/v1\nkind: LocalSubjectAccessReview\nmetadata: {namespace: default}\nspec: {user: a, resourceAttributes: {namespace: default, verb: get, resource: pods}}",
            "{.status.allowed}",
            "true",
        ),
    ] {
        assert_eq!(
            expected,
            bench.run_with(&format!("create --validate=false -f - -o jsonpath={at}"), review),
            "{review}"
        );
    }
    let nobody = "apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nspec: {resourceAttributes: {verb: get}}";
    let refused = bench.refused("create --validate=false -f -", nobody);
    assert!(refused.contains("at least one of user or group must be specified"), "{refused}");

    let hook = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard}
webhooks:
- name: guard.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {url: \"https://guard.example.com/\"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: painter}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: small}
spec:
  validations: [{expression: \"object.spec.replicas <= 5\"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: small}
spec: {policyName: small, validationActions: [Deny]}
";
    bench.run_with("apply -f -", hook);
    assert_eq!(
        "guard.example.com",
        bench.run("get validatingwebhookconfigurations guard -o jsonpath={.webhooks[*].name}")
    );
    bench.run("get mutatingwebhookconfigurations painter");
    bench.run("get validatingadmissionpolicies small");
    bench.run("get validatingadmissionpolicybindings small");
    let wrong = bench.refused("apply -f -", &hook.replace("sideEffects", "sideEfects"));
    assert!(wrong.contains("sideEfects"), "{wrong}");
}
