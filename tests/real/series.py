"""The series that proxies, kubelet, kube-state-metrics and exporters write, where they can be scraped."""

import contextlib
import http.server
import threading
import time

# Requests a second: of those to the canary nine in ten are good, one in twenty is not found, one in twenty fails. One in ten takes
# up to 200 ms, the others up to 100, and 120 ms all in all. Whatever else there is fails always and takes ten seconds.
GOOD, LOST, FAILED = 90, 5, 5


def proxies():
    """The series of each proxy, as it writes them: counter, label of the code, histogram, its unit in ms, labels of the
    canary, labels of others that are no business of the canary."""
    istio = {"reporter": "destination", "destination_workload_namespace": "shop", "request_protocol": "http"}
    pod = {"kubernetes_namespace": "shop"}
    nginx = {"namespace": "shop", "ingress": "frontend"}
    linkerd = {"namespace": "shop", "direction": "inbound"}
    osm = {"destination_namespace": "shop", "destination_kind": "Deployment"}
    envoy = ("envoy_cluster_upstream_rq", "envoy_response_code", "envoy_cluster_upstream_rq_time", 1)
    yield ("istio_requests_total", "response_code", "istio_request_duration_milliseconds", 1,
           {**istio, "destination_workload": "frontend"},
           [{**istio, "destination_workload": "frontend-primary"}, {**istio, "destination_workload": "frontend", "reporter": "source"},
            {**istio, "destination_workload": "frontend", "destination_workload_namespace": "bank"}])
    yield (*envoy, {"envoy_cluster_name": "shop_frontend-canary_80"}, [{"envoy_cluster_name": "shop_frontend-primary_80"}])
    yield (*envoy, {"envoy_cluster_name": "shop-frontend-canaryupstream-80_gloo-system"},
           [{"envoy_cluster_name": "shop-frontend-primaryupstream-80_gloo-system"}])
    yield (*envoy, {"envoy_cluster_name": "shop/frontend-00002"}, [{"envoy_cluster_name": "shop/frontend-00001"}])
    # Of Envoy Gateway's the rule that has session affinity, and those whose backends it counts together.
    yield (*envoy, {"envoy_cluster_name": "httproute/shop/frontend/rule/2/backend/1"},
           [{"envoy_cluster_name": "httproute/shop/frontend/rule/2/backend/0"}, {"envoy_cluster_name": "httproute/shop/frontend/rule/0"},
            {"envoy_cluster_name": "httproute/bank/frontend/rule/2/backend/1"}])
    yield (*envoy, {"service": "frontend-canary_shop_svc_80"}, [{"service": "frontend-primary_shop_svc_80"}])
    yield (*envoy, {**pod, "kubernetes_pod_name": "frontend-7c9d467496-x7k2p"},
           [{**pod, "kubernetes_pod_name": "frontend-primary-7c9d467496-x7k2p"}])
    yield ("http_request_duration_seconds_count", "status", "http_request_duration_seconds", 1000,
           {**pod, "kubernetes_pod_name": "frontend-7c9d467496-x7k2p"},
           [{**pod, "kubernetes_pod_name": "frontend-primary-7c9d467496-x7k2p"}])
    yield ("nginx_ingress_controller_requests", "status", "nginx_ingress_controller_response_duration_seconds", 1000,
           {**nginx, "canary": "shop-frontend-canary-80"}, [{**nginx, "canary": ""}])
    yield ("traefik_service_requests_total", "code", "traefik_service_request_duration_seconds", 1000,
           {"service": "shop-frontend-canary-80@kubernetescrd"}, [{"service": "shop-frontend-primary-80@kubernetescrd"}])
    # The same with the option safeNaming, of another Canary.
    yield ("traefik_service_requests_total", "code", "traefik_service_request_duration_seconds", 1000,
           {"service": "shop_cart-split_wrr_1_shop_cart-canary_80@kubernetescrd"},
           [{"service": "shop_cart-split_wrr_0_shop_cart-primary_80@kubernetescrd"}])
    yield ("apisix_http_status", "code", "apisix_http_latency", 1,
           {"route": "shop_frontend-frontend-canary_web", "type": "request"}, [{"route": "shop_frontend_web", "type": "request"}])
    yield ("response_total", "status_code", "response_latency_ms", 1,
           {**linkerd, "deployment": "frontend"}, [{**linkerd, "deployment": "frontend-primary"}])
    yield ("osm_request_total", "response_code", "osm_request_duration_ms", 1,
           {**osm, "destination_name": "frontend"}, [{**osm, "destination_name": "frontend-primary"}])
    yield (None, "code", "skipper_response_duration_seconds", 1000,
           {"route": "kube_shop__frontend_canary__shop_example_com____frontend_canary"},
           [{"route": "kube_shop__frontend__shop_example_com____frontend_primary"}])
    yield (None, None, "skipper_serve_route_duration_seconds", 1000,
           {"route": "kube_shop__frontend_canary__shop_example_com____frontend_canary"},
           [{"route": "kube_shop__frontend__shop_example_com____frontend_primary"}])


def grpc():
    """Calls by their status, a counter each: of ten to the canary nine are OK, to others none. Name, labels, calls a second."""
    istio = {"reporter": "destination", "destination_workload_namespace": "shop", "response_code": "200"}
    linkerd = {"namespace": "shop", "direction": "inbound", "status_code": "200"}
    for workload, ok, failed in (("cart", 90, 10), ("cart-primary", 0, 100)):
        for status, calls in (("0", ok), ("14", failed)):
            yield "istio_requests_total", {**istio, "destination_workload": workload, "request_protocol": "grpc",
                                           "grpc_response_status": status}, calls
            classified = {"classification": "success" if status == "0" else "failure", "grpc_status": status}
            yield "response_total", {**linkerd, **classified, "deployment": workload}, calls
    # Requests over HTTP, which have no status of gRPC: Istio leaves it empty, Linkerd the whole label.
    for code, calls in (("200", 20), ("500", 30)):
        yield "istio_requests_total", {**istio, "destination_workload": "cart", "request_protocol": "http",
                                       "grpc_response_status": "", "response_code": code}, calls
        classification = "success" if code == "200" else "failure"
        yield "response_total", {**linkerd, "deployment": "cart", "status_code": code, "classification": classification}, calls
    for code, calls in (("OK", 90), ("Unavailable", 10)):
        call = {"grpc_type": "unary", "grpc_service": "shop.Frontend", "grpc_method": "Show", "grpc_code": code}
        yield "grpc_server_handled_total", {"namespace": "shop", "pod": CANARY[0], **call}, calls
        yield "grpc_server_handled_total", {"namespace": "shop", "pod": PRIMARY, **call}, 100 if code != "OK" else 0
    clusters = [({"envoy_cluster_name": "shop_frontend-canary_80"}, {"envoy_cluster_name": "shop_frontend-primary_80"}),
                ({"service": "frontend-canary_shop_svc_80"}, {"service": "frontend-primary_shop_svc_80"})]
    for canary, primary in clusters:
        for labels, ok, failed in ((canary, 90, 10), (primary, 0, 100)):
            yield "envoy_cluster_grpc_0", labels, ok
            yield "envoy_cluster_grpc_14", labels, failed
            yield "envoy_cluster_grpc_success", labels, ok
            yield "envoy_cluster_grpc_failure", labels, failed
            yield "envoy_cluster_grpc_total", labels, ok + failed


CANARY = ("frontend-7c9d467496-x7k2p", "frontend-7c9d467496-m4q8z")
PRIMARY = "frontend-primary-6b5f8d9c4d-tt9wl"

# Of each container: CPU seconds a second and their limit, periods a second of which it was held back in so many, bytes and their
# limit, restarts a second. The canary's busiest pod uses half of its CPU, its fullest container three quarters of its memory.
CONTAINERS = {
    (CANARY[0], "app"): ((0.5, 1), (1000, 100), (300, 400), 0.5),
    (CANARY[0], "proxy"): ((0.1, 0.2), (1000, 300), (10, 100), 0),
    (CANARY[1], "app"): ((0.2, 1), (1000, 100), (200, 400), 0.25),
    (CANARY[1], "proxy"): ((0.1, 0.2), (1000, 300), (10, 100), 0),
    (PRIMARY, "app"): ((0.99, 1), (1000, 990), (399, 400), 7),
}


def pods():
    """What kubelet's cAdvisor and kube-state-metrics write of the pods: name, labels, value, and whether it is one a second."""
    for (pod, container), ((cpu, cpus), (periods, throttled), (used, limit), restarts) in CONTAINERS.items():
        of = {"namespace": "shop", "pod": pod, "container": container}
        image = {"id": f"/kubepods/burstable/{pod}/{container}", "image": f"registry.example.com/shop/{container}:2", "name": "c0ffee"}
        yield "container_cpu_usage_seconds_total", {**of, **image, "cpu": "total"}, cpu, True
        yield "container_cpu_cfs_periods_total", {**of, **image}, periods, True
        yield "container_cpu_cfs_throttled_periods_total", {**of, **image}, throttled, True
        yield "container_memory_working_set_bytes", {**of, **image}, used * 2**20, False
        state = {**of, "uid": f"uid-of-{pod}"}
        for resource, unit, value in (("cpu", "core", cpus), ("memory", "byte", limit * 2**20)):
            yield "kube_pod_container_resource_limits", {**state, "node": "n1", "resource": resource, "unit": unit}, value, False
        yield "kube_pod_container_status_restarts_total", state, restarts, True
    # The cgroup of a whole pod has no container; it has been through more than its containers.
    for pod in (*CANARY, PRIMARY):
        whole = {"namespace": "shop", "pod": pod, "container": "", "id": f"/kubepods/burstable/{pod}", "image": "", "name": ""}
        yield "container_cpu_usage_seconds_total", {**whole, "cpu": "total"}, 3, True
        yield "container_cpu_cfs_periods_total", whole, 1000, True
        yield "container_cpu_cfs_throttled_periods_total", whole, 900, True
        yield "container_memory_working_set_bytes", whole, 2**30, False


def queues():
    """What kafka_exporter and RabbitMQ write."""
    for group, lags in (("frontend", (7, 5)), ("frontend-primary", (400, 600))):
        for partition, lag in enumerate(lags):
            yield "kafka_consumergroup_lag", {"consumergroup": group, "topic": "orders", "partition": partition}, lag, False
        yield "kafka_consumergroup_lag_sum", {"consumergroup": group, "topic": "orders"}, sum(lags), False
    for queue, ready in (("frontend", 17), ("frontend-primary", 1000)):
        yield "rabbitmq_queue_messages_ready", {"vhost": "/", "queue": queue}, ready, False


def counted():
    """What the templates that count have to find in all, part by part, since nobody knows how long a server has looked."""
    for part, restarts in enumerate(restarts for (pod, _), (*_, restarts) in CONTAINERS.items() if pod in CANARY):
        yield "proof_total", {"template": "pod-restarts", "part": part}, restarts, True
    of_cart = [calls for name, labels, calls in grpc()
               if name == "istio_requests_total" and labels["destination_workload"] == "cart"]
    for part, calls in enumerate(of_cart):
        yield "proof_total", {"template": "istio-request-count", "part": part}, calls, True
    yield "proof_total", {"template": "cpu-use"}, 1, True


def exposition(seconds):
    """What they have written after so many seconds."""
    lines = []

    def say(name, labels, value, each_second=True):
        text = ",".join(f'{key}="{value}"' for key, value in labels.items())
        lines.append(f"{name}{{{text}}} {value * seconds if each_second else value}")

    for counter, code_label, histogram, unit, canary, others in proxies():
        for labels, codes in ((canary, {"200": GOOD, "404": LOST, "500": FAILED}), *((other, {"500": 100}) for other in others)):
            mine = labels is canary
            codes = codes if code_label else {"": sum(codes.values())}
            for code, count in codes.items():
                coded = dict(labels)
                if code_label:
                    coded[code_label] = code
                if counter == "response_total":
                    coded["classification"] = "failure" if code == "500" else "success"
                if counter and counter != f"{histogram}_count":
                    say(counter, coded, count)
                # Nine in ten are quick; those of others never are.
                quick = count * 9 / 10 if mine else 0
                for bound, value in ((0.1, quick), (0.2, count if mine else 0), (20, count), ("+Inf", count)):
                    le = bound if bound == "+Inf" else f"{bound * 1000 / unit:g}"
                    say(f"{histogram}_bucket", {**coded, "le": le}, value)
                say(f"{histogram}_count", coded, count)
                say(f"{histogram}_sum", coded, count * (120 if mine else 10000) / unit)
    for name, labels, calls in grpc():
        say(name, labels, calls)
    for name, labels, value, each_second in (*pods(), *queues(), *counted()):
        say(name, labels, value, each_second)
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def exporter():
    """The series, on a path for each server: its time begins when it first looks. Gives the port."""
    began = {}

    class Exporter(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = exposition(time.monotonic() - began.setdefault(self.path, time.monotonic())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # On a busy machine the server may have given up meanwhile.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
