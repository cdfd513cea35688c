use rstest::rstest;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

/// The flags of a command line that is fine.
fn run(args: &[&str]) -> ControllerFlags {
    match parse(args, no_env) {
        Ok(Asked::Run(flags)) => *flags,
        other => panic!("{other:?}"),
    }
}

fn refused(args: &[&str]) -> Refused {
    parse(args, no_env).expect_err("refused")
}

#[test]
fn defaults_are_those_of_the_reference() {
    // spec: 01/API-085
    let flags = run(&[]);
    let expected = ControllerFlags {
        kubeconfig_qps: 100,
        kubeconfig_burst: 250,
        metrics_server: "http://prometheus:9090".into(),
        control_loop_interval: Duration::from_secs(10),
        log_level: Verbosity::Debug,
        log_encoding: Encoding::Json,
        port: 8080,
        slack_user: "flagger".into(),
        threadiness: 2,
        mesh_provider: "istio".into(),
        selector_labels: ["app", "name", "app.kubernetes.io/name"].map(String::from).into(),
        ingress_annotations_prefix: "nginx.ingress.kubernetes.io".into(),
        leader_election_namespace: "kube-system".into(),
        enable_config_tracking: true,
        min_serving_capacity: 50,
        max_concurrent_rollouts: 0,
        max_concurrent_rollouts_per_namespace: 0,
        max_webhook_timeout: Duration::from_secs(600),
        shared_gateway_namespaces: vec!["istio-system".into()],
        ..ControllerFlags::blank()
    };
    assert_eq!(expected, flags);
    assert_eq!(Settings::default(), flags.settings());
    assert_eq!(Some(Limit::default()), flags.limit());
}

#[rstest]
#[case("max-concurrent-rollouts", "20", |f: &ControllerFlags| f.settings().max_rollouts == 20)]
#[case("max-concurrent-rollouts-per-namespace", "2", |f: &ControllerFlags| f.settings().max_rollouts_per_namespace == 2)]
#[case("min-serving-capacity", "80", |f: &ControllerFlags| f.settings().serving_capacity == 80)]
#[case("min-serving-capacity", "900", |f: &ControllerFlags| f.settings().serving_capacity == 100)]
#[case("kubeconfig", "k", |f: &ControllerFlags| f.kubeconfig == "k")]
#[case("master", "m", |f: &ControllerFlags| f.master == "m")]
#[case("kubeconfig-qps", "7", |f: &ControllerFlags| f.kubeconfig_qps == 7)]
#[case("kubeconfig-burst", "0x10", |f: &ControllerFlags| f.kubeconfig_burst == 16)]
#[case("kubeconfig-service-mesh", "k", |f: &ControllerFlags| f.kubeconfig_service_mesh == "k")]
#[case("metrics-server", "http://p:9090/a=b", |f: &ControllerFlags| f.metrics_server == "http://p:9090/a=b")]
#[case("control-loop-interval", "1m30s", |f: &ControllerFlags| f.control_loop_interval.as_secs() == 90)]
#[case("log-level", "warning", |f: &ControllerFlags| f.log_level == Verbosity::Warn)]
#[case("zap-encoding", "console", |f: &ControllerFlags| f.log_encoding == Encoding::Console)]
#[case("zap-replace-globals", "true", |f: &ControllerFlags| f.zap_replace_globals)]
#[case("port", "9090", |f: &ControllerFlags| f.port == 9090)]
#[case("slack-url", "s", |f: &ControllerFlags| f.slack_url.0 == "s")]
#[case("slack-token", "s", |f: &ControllerFlags| f.slack_token.0 == "s")]
#[case("slack-proxy-url", "s", |f: &ControllerFlags| f.slack_proxy_url.0 == "s")]
#[case("slack-user", "s", |f: &ControllerFlags| f.slack_user == "s")]
#[case("slack-channel", "s", |f: &ControllerFlags| f.slack_channel == "s")]
#[case("msteams-url", "s", |f: &ControllerFlags| f.msteams_url.0 == "s")]
#[case("msteams-proxy-url", "s", |f: &ControllerFlags| f.msteams_proxy_url.0 == "s")]
#[case("event-webhook", "s", |f: &ControllerFlags| f.event_webhook.0 == "s")]
#[case("include-label-prefix", "a, b ,", |f: &ControllerFlags| f.include_label_prefixes == ["a", "b"])]
#[case("threadiness", "4", |f: &ControllerFlags| f.threadiness == 4)]
#[case("namespace", "shop", |f: &ControllerFlags| f.namespace == "shop")]
#[case("mesh-provider", "kubernetes", |f: &ControllerFlags| f.mesh_provider == "kubernetes")]
#[case("selector-labels", "app, tier", |f: &ControllerFlags| f.selector_labels == ["app", "tier"])]
#[case("ingress-annotations-prefix", "x", |f: &ControllerFlags| f.ingress_annotations_prefix == "x")]
#[case("ingress-class", "x", |f: &ControllerFlags| f.ingress_class == "x")]
#[case("enable-leader-election", "T", |f: &ControllerFlags| f.enable_leader_election)]
#[case("leader-election-namespace", "x", |f: &ControllerFlags| f.leader_election_namespace == "x")]
#[case("enable-config-tracking", "0", |f: &ControllerFlags| !f.enable_config_tracking)]
#[case("cluster-name", "x", |f: &ControllerFlags| f.cluster_name == "x")]
#[case("max-webhook-timeout", "30m", |f: &ControllerFlags| f.settings().max_webhook_timeout.as_secs() == 1800)]
#[case("shared-gateway-namespaces", "a, b", |f: &ControllerFlags| f.settings().shared_gateway_namespaces == ["a", "b"])]
#[case("require-secret-labels", "true", |f: &ControllerFlags| f.settings().require_secret_labels)]
#[case("allow-insecure-credentials", "true", |f: &ControllerFlags| f.settings().allow_insecure_credentials)]
#[case("egress-deny", "10.0.0.0/8, fd00::/8", |f: &ControllerFlags| f.egress_deny == ["10.0.0.0/8", "fd00::/8"])]
#[case("egress-allow", "169.254.169.254", |f: &ControllerFlags| f.egress_allow == ["169.254.169.254"])]
#[case("no-cross-namespace-refs", "True", |f: &ControllerFlags| f.no_cross_namespace_refs)]
fn each_flag_is_read_with_one_dash_and_two(
    #[case] name: &str,
    #[case] value: &str,
    #[case] arrived: fn(&ControllerFlags) -> bool,
) {
    // spec: 01/API-085
    assert!(!arrived(&run(&[])), "the default must differ from the value");
    for dashes in ["-", "--"] {
        let joined = format!("{dashes}{name}={value}");
        assert!(arrived(&run(&[&joined])), "{joined}");
        let of_this_name: Vec<_> = FLAGS.iter().filter(|flag| flag.name == name).collect();
        assert_eq!(1, of_this_name.len());
        if !matches!(of_this_name[0].kind, Kind::Switch(_)) {
            assert!(arrived(&run(&[&format!("{dashes}{name}"), value])), "{dashes}{name} {value}");
        }
    }
}

#[test]
fn the_last_one_counts_and_a_switch_needs_no_value() {
    let flags = run(&["-namespace=a", "--namespace", "b", "-enable-leader-election", "-port", "1"]);
    assert_eq!(("b", true, 1), (flags.namespace.as_str(), flags.enable_leader_election, flags.port));
}

#[rstest]
#[case::a_word(&["run", "-port=1"])]
#[case::a_value_behind_a_switch(&["-enable-leader-election", "false", "-port=1"])]
#[case::two_dashes(&["--", "-port=1"])]
#[case::a_dash(&["-", "-port=1"])]
fn a_word_that_is_no_flag_ends_them(#[case] args: &[&str]) {
    let flags = run(args);
    assert_eq!(8080, flags.port);
    assert_eq!(args.contains(&"--"), flags.warnings.is_empty(), "{:?}", flags.warnings);
}

#[rstest]
#[case(&["-mesh-provder=istio"], "flag provided but not defined: -mesh-provder")]
#[case(&["---port=1"], "bad flag syntax: ---port=1")]
#[case(&["-=1"], "bad flag syntax: -=1")]
#[case(&["-port"], "flag needs an argument: -port")]
#[case(&["-port=http"], "invalid value \"http\" for flag -port: use a number up to 65535")]
#[case(&["-port=70000"], "invalid value \"70000\" for flag -port: use a number up to 65535")]
#[case(&["-threadiness=0"], "invalid value \"0\" for flag -threadiness: it must be at least 1")]
#[case(&["-threadiness=-+1"], "invalid value \"-+1\" for flag -threadiness: use a whole number")]
#[case(&["-kubeconfig-qps=many"], "invalid value \"many\" for flag -kubeconfig-qps: use a whole number")]
#[case(&["-control-loop-interval=0"], "invalid value \"0\" for flag -control-loop-interval: it must be above zero")]
#[case(
    &["-control-loop-interval=10"],
    "invalid value \"10\" for flag -control-loop-interval: time: missing unit in duration \"10\""
)]
#[case(
    &["-egress-deny=10.0.0.0/8,metadata"],
    "invalid value \"10.0.0.0/8,metadata\" for flag -egress-deny: \"metadata\" is not a network: write one like \
     10.0.0.0/8, fd00::/8 or 192.0.2.7"
)]
#[case(&["-enable-config-tracking=yes"], "invalid value \"yes\" for flag -enable-config-tracking: use true or false")]
fn what_is_wrong_is_said_with_the_usage_and_exit_code_2(#[case] args: &[&str], #[case] message: &str) {
    // spec: 01/API-086
    let refused = refused(args);
    assert_eq!((message, 2), (refused.message.as_str(), refused.exit_code));
    assert!(
        refused
            .to_string()
            .starts_with(&format!("{message}\nUsage of vexil controller:\n  -allow-insecure-credentials\n"))
    );
}

#[rstest]
#[case(&["-zap-encoding=xml"], "Error creating logger")]
#[case(&["-selector-labels= , "], "At least one selector label is required")]
fn a_value_that_the_reference_dies_of_gives_exit_code_1(#[case] args: &[&str], #[case] text: &str) {
    let refused = refused(args);
    assert_eq!(1, refused.exit_code);
    assert!(refused.to_string().contains(text) && !refused.to_string().contains("Usage"), "{refused}");
}

#[rstest]
#[case("SLACK_URL", "slack-url", |f: &ControllerFlags| f.slack_url.0.clone())]
#[case("SLACK_TOKEN", "slack-token", |f: &ControllerFlags| f.slack_token.0.clone())]
#[case("SLACK_PROXY_URL", "slack-proxy-url", |f: &ControllerFlags| f.slack_proxy_url.0.clone())]
#[case("MSTEAMS_URL", "msteams-url", |f: &ControllerFlags| f.msteams_url.0.clone())]
#[case("MSTEAMS_PROXY_URL", "msteams-proxy-url", |f: &ControllerFlags| f.msteams_proxy_url.0.clone())]
#[case("EVENT_WEBHOOK_URL", "event-webhook", |f: &ControllerFlags| f.event_webhook.0.clone())]
fn a_variable_wins_over_its_flag_unless_it_is_empty(
    #[case] variable: &str,
    #[case] flag: &str,
    #[case] value: fn(&ControllerFlags) -> String,
) {
    // spec: 01/API-087
    let args = [format!("-{flag}=from-flag")];
    for (set, expected) in [("from-env", "from-env"), ("", "from-flag")] {
        let env = |name: &str| (name == variable).then(|| set.to_owned());
        let Ok(Asked::Run(flags)) = parse(&args, env) else { panic!() };
        assert_eq!(expected, value(&flags));
    }
}

#[test]
fn what_the_flags_say_of_alerts_reaches_the_notifier() {
    // spec: 02/C103 04/AL-21
    let args = ["-slack-url=https://flag.test/", "-slack-channel=ops", "-cluster-name=prod"];
    let alerts = |env: &[(&str, &str)]| {
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let Ok(Asked::Run(flags)) = parse(&args, env) else { panic!() };
        flags.alerts()
    };
    let slack = alerts(&[("SLACK_URL", "https://env.test/"), ("SLACK_TOKEN", "xoxb-1")]);
    let expected = Channel {
        address: "https://env.test/".into(),
        token: "xoxb-1".into(),
        channel: "ops".into(),
        username: "flagger".into(),
        proxy: String::new(),
        ..Channel::default()
    };
    assert_eq!(("prod", &expected), (slack.cluster.as_str(), &slack.slack));
    let teams = alerts(&[("MSTEAMS_URL", "https://teams.test/")]).global();
    assert_eq!(Ok(Some("teams.test".to_owned())), teams.map(|global| global.map(|global| global.host)));
}

#[test]
fn secrets_do_not_show() {
    let flags = run(&["-slack-token=xoxb-1", "-slack-url=https://hooks.slack.com/services/T/B/x"]);
    assert!(
        !format!("{flags:?}").contains("xoxb-1") && !format!("{flags:?}").contains("services"),
        "{flags:?}"
    );
}

#[test]
fn flags_of_the_kubernetes_log_are_accepted() {
    // spec: 01/API-088
    let flags = run(&[
        "-v=4",
        "-v",
        "4",
        "-vmodule=a=1",
        "-logtostderr",
        "-alsologtostderr=true",
        "-stderrthreshold=2",
        "-log_dir",
        "/tmp",
        "-log_file=x",
        "-log_file_max_size=1",
        "-skip_headers",
        "-skip_log_headers",
        "-add_dir_header",
        "-one_output",
        "-log_backtrace_at",
        ":0",
        "-port=1",
    ]);
    assert_eq!((1, true), (flags.port, flags.warnings.is_empty()));
}

#[test]
fn an_unknown_log_level_means_info_and_is_told() {
    let flags = run(&["-log-level=loud"]);
    assert_eq!(Verbosity::Info, flags.log_level);
    assert_eq!(
        vec!["unknown log level \"loud\" (use debug, info, warn or error); info is used"],
        flags.warnings
    );
}

#[rstest]
#[case(&["-h"])]
#[case(&["--help"])]
#[case(&["-port=1", "-help", "-bogus"])]
fn help_lists_every_flag(#[case] args: &[&str]) {
    let Ok(Asked::Help(text)) = parse(args, no_env) else { panic!() };
    for flag in FLAGS {
        assert!(text.contains(&format!("\n  -{}", flag.name)), "{}", flag.name);
    }
    for line in [
        "  -port string\n    \tPort for health checks and metrics (default \"8080\")\n",
        "  -control-loop-interval duration\n    \tLongest time before a new Canary is looked at (default 10s)\n",
        "  -slack-url string\n    \tIncoming webhook of Slack; the variable SLACK_URL wins\n",
        "  -version\n    \tPrint the version and exit\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn the_version_is_asked_for_with_a_flag() {
    assert_eq!(Ok(Asked::Version), parse(&["-version", "-namespace=x"], no_env));
    assert!(matches!(parse(&["-version=false"], no_env), Ok(Asked::Run(_))));
}

#[test]
fn the_lease_is_where_we_are_restricted_to() {
    // spec: 01/API-092
    assert_eq!("kube-system", run(&[]).lease_namespace());
    assert_eq!("x", run(&["-leader-election-namespace=x"]).lease_namespace());
    assert_eq!("shop", run(&["-leader-election-namespace=x", "-namespace=shop"]).lease_namespace());
}

#[test]
fn no_limit_on_requests_if_a_figure_is_not_above_zero() {
    assert_eq!(None, run(&["-kubeconfig-qps=0"]).limit());
    assert_eq!(None, run(&["-kubeconfig-burst=-1"]).limit());
}

#[rstest]
#[case(&["./flagger", "-mesh-provider=istio"], true)]
#[case(&["./flagger"], true)]
#[case(&["/usr/bin/flagger", "-h"], true)]
#[case(&["./flagger", "controller", "-log-level=info"], false)]
#[case(&["vexil", "-log-level=info"], true)]
#[case(&["vexil", "--log-level", "info"], true)]
#[case(&["vexil", "-version"], true)]
#[case(&["vexil", "-v=4"], true)]
#[case(&["vexil"], false)]
#[case(&["vexil", "--version"], false)]
#[case(&["vexil", "-h"], false)]
#[case(&["vexil", "--help"], false)]
#[case(&["vexil", "demo"], false)]
#[case(&["vexil", "controller", "-log-level=info"], false)]
#[case(&[], false)]
fn flags_alone_start_the_controller(#[case] argv: &[&str], #[case] expected: bool) {
    // spec: 01/API-099
    assert_eq!(expected, looks_like_controller(argv));
}

#[test]
fn the_chart_and_the_overlays_use_flags_that_exist() {
    // spec: 01/API-105
    for manifest in [
        include_str!("../../../deploy/charts/vexil/templates/deployment.yaml"),
        include_str!("../../../deploy/kustomize/gatewayapi/patch.yaml"),
        include_str!("../../../deploy/kustomize/istio/patch.yaml"),
        include_str!("../../../deploy/kustomize/kubernetes/patch.yaml"),
        include_str!("../../../deploy/kustomize/linkerd/patch.yaml"),
    ] {
        let used: Vec<&str> = manifest
            .lines()
            .filter_map(|line| {
                let argument = line.trim().strip_prefix("- ")?;
                let argument = argument.strip_prefix("{{ printf \"").unwrap_or(argument);
                argument.strip_prefix('-')?.split('=').next()
            })
            .collect();
        assert!(used.len() >= 4, "{used:?}");
        for name in used {
            assert!(FLAGS.iter().any(|flag| flag.name == name), "-{name}");
        }
    }
}
