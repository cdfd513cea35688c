{{- define "vexil.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* A release that Flagger's chart made under that name keeps its names: dashboards and policies select by them. */ -}}
{{- define "vexil.unshortened" -}}
{{- default (contains "flagger" .Release.Name | ternary "flagger" .Chart.Name) .Values.nameOverride -}}
{{- end -}}

{{- define "vexil.name" -}}
{{- include "vexil.unshortened" . | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vexil.fullname" -}}
{{- $name := include "vexil.unshortened" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vexil.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "vexil.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "vexil.selectorLabels" -}}
app.kubernetes.io/name: {{ include "vexil.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vexil.labels" -}}
helm.sh/chart: {{ include "vexil.chart" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "vexil.selectorLabels" . }}
{{- end -}}

{{- /* Values files of Flagger's users may name its helpers, in affinity for one. */ -}}
{{- define "flagger.chart" -}}{{ include "vexil.chart" . }}{{- end -}}
{{- define "flagger.name" -}}{{ include "vexil.name" . }}{{- end -}}
{{- define "flagger.fullname" -}}{{ include "vexil.fullname" . }}{{- end -}}
{{- define "flagger.serviceAccountName" -}}{{ include "vexil.serviceAccountName" . }}{{- end -}}

{{- /* The names of all meshes that rights can be given for. */ -}}
{{- define "vexil.providers" -}}
{{- /* providers: begin (from the registry of routers, UPDATE_DEPLOY=1 cargo test --test it deploy) */ -}}
{{- /* */ -}}alb apisix appmesh appmesh:v1beta2 contour gatewayapi:v1 gatewayapi:v1beta1 gloo istio knative kubernetes kuma linkerd nginx osm skipper smi:v1alpha1 smi:v1alpha2 smi:v1alpha3 traefik
{{- /* providers: end */ -}}
{{- end -}}

{{- /* The names of the meshes that the controller gets rights for, or "all". A name that is none stops the
       installation: the controller would not start with it, and the old one would be gone. */ -}}
{{- define "vexil.meshes" -}}
{{- $named := .Values.rbac.meshes | default list -}}
{{- if kindIs "string" $named -}}
{{- $named = splitList "," (nospace $named) -}}
{{- end -}}
{{- with .Values.meshProvider -}}
{{- $named = append $named . -}}
{{- end -}}
{{- range $name := $named -}}
{{- $known := false -}}
{{- range $provider := splitList " " (include "vexil.providers" $) -}}
{{- if hasPrefix $provider $name -}}{{- $known = true -}}{{- end -}}
{{- end -}}
{{- if and (ne $name "all") (not $known) -}}
{{- fail (printf "%q in meshProvider or rbac.meshes is no mesh: there are all, %s" $name (include "vexil.providers" $ | replace " " ", ")) -}}
{{- end -}}
{{- end -}}
{{- join " " (empty $named | ternary (list "all") $named) -}}
{{- end -}}

{{- /* Whether one of the providers (the list's second part) is to be used: not empty if so. */ -}}
{{- define "vexil.uses" -}}
{{- range $name := splitList " " (include "vexil.meshes" (index . 0)) -}}
{{- if eq $name "all" -}}yes{{- end -}}
{{- range $provider := index $ 1 -}}
{{- if hasPrefix $provider $name -}}yes{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Who has the rights. */ -}}
{{- define "vexil.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "vexil.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* The networks that no call reaches, unless they are allowed. */ -}}
{{- define "vexil.alwaysDenied" -}}
{{- /* egress: begin (from src/http/egress.rs, UPDATE_DEPLOY=1 cargo test --test it deploy) */ -}}
{{- /* */ -}}0.0.0.0/8 169.254.0.0/16 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 ::/128 fe80::/10 fd00:ec2::/32 fd20:ce::254/128
{{- /* egress: end */ -}}
{{- end -}}

{{- /* The image. There is no default that every cluster could pull, and a wrong one would only show as a pod that waits. */ -}}
{{- define "vexil.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if not $repository -}}
{{- fail "image.repository is empty: build the image (make image), push it to a registry that this cluster can pull from, and set image.repository and image.tag (docs/on-a-cluster.md)" -}}
{{- end -}}
{{- if regexMatch "(^|/)flagger$" $repository -}}
{{- fail (printf "image.repository is %s, which is the image of Flagger: set it to that of Vexil" $repository) -}}
{{- end -}}
{{- printf "%v:%v" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
