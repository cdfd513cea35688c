{{- define "loadtester.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "loadtester.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "loadtester.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "loadtester.labels" -}}
app: {{ include "loadtester.name" . }}
helm.sh/chart: {{ include "loadtester.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- /* Whether the load tester itself calls the API: not empty if so. */ -}}
{{- define "loadtester.callsApi" -}}
{{- if or .Values.gates.persist .Values.auth.tokenReview.enabled .Values.rbac.create -}}yes{{- end -}}
{{- end -}}

{{- /* Whether an account is made: not empty if so. */ -}}
{{- define "loadtester.makesAccount" -}}
{{- if and (include "loadtester.callsApi" .) (or .Values.rbac.create (not .Values.serviceAccountName)) -}}yes{{- end -}}
{{- end -}}

{{- define "loadtester.serviceAccountName" -}}
{{- if .Values.serviceAccountName -}}
{{- .Values.serviceAccountName -}}
{{- else if include "loadtester.makesAccount" . -}}
{{- include "loadtester.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "loadtester.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "loadtester.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* The image. There is no default that every cluster could pull, and Flagger's has not the program in it. */ -}}
{{- define "loadtester.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if not $repository -}}
{{- fail "image.repository is empty: set image.repository and image.tag to the image of Vexil that you pushed for the controller, which makes load and keeps gates as well; hooks and tasks that run commands need the image of deploy/Dockerfile.loadtester in its place (docs/loadtester.md#the-image)" -}}
{{- end -}}
{{- if regexMatch "(^|/)flagger(-loadtester)?$" $repository -}}
{{- fail (printf "image.repository is %s, which is an image of Flagger: set it to that of Vexil (docs/loadtester.md#the-image)" $repository) -}}
{{- end -}}
{{- printf "%v:%v" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
