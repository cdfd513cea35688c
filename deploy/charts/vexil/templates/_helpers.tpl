{{- define "vexil.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vexil.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "vexil.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
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
