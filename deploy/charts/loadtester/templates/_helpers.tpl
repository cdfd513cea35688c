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
